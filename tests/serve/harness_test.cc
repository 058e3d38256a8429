// Replays what OpenCode, Continue, Aider, OpenClaw and Hermes sent.
#include <algorithm>
#include <fstream>
#include <iostream>

#include "serve/openai/requests.h"
#include "serve/openai/responses.h"
#include "serve/openai/runs.h"
#include "support/http_client.h"
#include "support/paths.h"

namespace facet::serve {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

class HarnessTest : public ServerTest {
 protected:
  static std::vector<TokenId> Tokens(const LoadedModel& model, const OrderedJson& body,
                                     bool responses) {
    const auto read = [&]() -> Result<ChatRequest> {
      if (!responses) return ReadChat(body, {}, nullptr);
      FACET_ASSIGN(ResponsesRequest request, ReadResponses(body, {}, nullptr));
      return std::move(request.chat);
    };
    Result<ChatRequest> chat = read();
    EXPECT_TRUE(chat.ok()) << chat.error().message;
    if (!chat.ok()) return {};
    const auto prompt =
        BuildChatPrompt(model, *chat, std::move(chat->conversation), "messages", nullptr);
    EXPECT_TRUE(prompt.ok()) << prompt.error().message;
    return prompt.ok() ? (*prompt)->ids : std::vector<TokenId>();
  }
};

TEST_F(HarnessTest, RecordedRequestsAreAcceptedAndPrefillOnlyWhatIsNew) {
  options_.model.cache_budget = size_t{1} << 30;
  StartServer({{{"emit", "<|channel>thought\nHm.\n<channel|>The answer."}}});
  const auto model = server_->models().Loaded("gemma-4-12b");
  std::vector<fs::path> files;
  const fs::path folder = fs::path(TestsDir()) / "reference/harness";
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  ASSERT_GT(files.size(), 85u);
  std::vector<std::vector<TokenId>> earlier;
  int generated = 0;
  for (const fs::path& file : files) {
    const OrderedJson request = OrderedJson::parse(std::ifstream(file));
    const std::string path = request["path"];
    const bool responses = path == "/v1/responses", post = request["method"] == "POST";
    const HttpAnswer answer = Request(request["method"], path, post ? request["body"].dump() : "");
    if (path != "/v1/chat/completions" && !responses) {
      const bool known =
          path == "/v1/models" || path == "/v1/models/gemma-4-12b" || path == "/api/show";
      EXPECT_EQ(answer.status, known ? 200 : 404) << path;
      EXPECT_TRUE(json::accept(answer.body));
      continue;
    }
    ASSERT_EQ(answer.status, 200) << file << answer.body;
    ++generated;
    int prompt = 0, cached = 0;
    const bool stream = request["body"].value("stream", false);
    const json last = stream ? answer.Events().back() : answer.Json();
    if (responses) {
      prompt = last["response"]["usage"]["input_tokens"];
      cached = last["response"]["usage"]["input_tokens_details"]["cached_tokens"];
    } else {
      const json timings = last.contains("timings") ? last["timings"] : json();
      ASSERT_TRUE(timings.is_object()) << file;
      cached = timings["cache_n"];
      prompt = cached + timings["prompt_n"].get<int>();
    }
    const std::vector<TokenId> ids = Tokens(*model, request["body"], responses);
    ASSERT_EQ(static_cast<int>(ids.size()), prompt) << file;
    int common = 0;
    for (const auto& other : earlier) {
      const auto differ = std::mismatch(ids.begin(), ids.end(), other.begin(), other.end());
      common = std::max(common, static_cast<int>(differ.first - ids.begin()));
    }
    EXPECT_LE(prompt - cached, prompt - common + 64) << file;
    earlier.push_back(ids);
  }
  std::cout << generated << " generating requests replayed\n";
}

}  // namespace
}  // namespace facet::serve
