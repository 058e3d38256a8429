// Requests in the shapes that clients send, and the same with keys in them that nobody knows.
#include <algorithm>
#include <fstream>
#include <random>
#include <set>

#include "support/http_client.h"
#include "support/paths.h"

namespace facet::serve {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

// What the value holds is passed on as it is: a key more in it is another value.
const std::set<std::string> kOpaque = {"parameters",
                                       "schema",
                                       "value",
                                       "properties",
                                       "arguments",
                                       "chat_template_kwargs",
                                       "metadata",
                                       "client_metadata",
                                       "logit_bias",
                                       "env",
                                       "context_management",
                                       "prompt_cache_options",
                                       "annotations",
                                       "cache_control",
                                       "reasoning_details"};

struct Recorded {
  std::string name, path;
  json body;
};

class ClientsTest : public ServerTest {
 protected:
  ClientsTest() {
    options_.models = {{.id = "gen", .files = {}, .script = folder_ / "script.jsonl"}};
    options_.model.cache_budget = size_t{1} << 30;
  }

  static std::vector<Recorded> OwnShapes() {
    std::vector<Recorded> out;
    const fs::path file = fs::path(TestsDir()) / "reference/clients/requests.json";
    for (const json& one : json::parse(std::ifstream(file)))
      out.push_back({one["name"], one["path"], one["body"]});
    return out;
  }
  // Requests that generate, as coding agents sent them.
  static std::vector<Recorded> Harnesses() {
    std::vector<fs::path> files;
    for (const auto& entry :
         fs::recursive_directory_iterator(fs::path(TestsDir()) / "reference/harness")) {
      if (entry.path().extension() == ".json") files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    std::vector<Recorded> out;
    for (const fs::path& file : files) {
      const json request = json::parse(std::ifstream(file));
      const std::string path = request["path"];
      if (path != "/v1/chat/completions" && path != "/v1/responses") continue;
      out.push_back({file.string(), path, request["body"]});
      out.back().body["model"] = "gen";
    }
    return out;
  }

  static void Objects(json& value, std::vector<json*>& out) {
    if (value.is_object()) {
      out.push_back(&value);
      for (auto& [key, member] : value.items()) {
        if (!kOpaque.contains(key)) Objects(member, out);
      }
    } else if (value.is_array()) {
      for (json& member : value) Objects(member, out);
    }
  }

  // What was said, and how long the prompt was.
  static json Said(const HttpAnswer& answer) {
    const bool stream = answer.head.find("text/event-stream") != std::string::npos;
    json said = json::array();
    const auto take = [&](const json& value) {
      for (const char* name : {"choices", "output", "delta"}) {
        if (!value.contains(name)) continue;
        json part = value[name];
        if (part.is_array()) {
          for (json& one : part) {
            one.erase("id");
            if (one.contains("delta")) one["delta"].erase("tool_calls");
            if (!one.contains("message") || !one["message"].contains("tool_calls")) continue;
            for (json& call : one["message"]["tool_calls"]) call.erase("id");  // random
          }
        }
        said.push_back(part);
      }
      if (value.contains("usage") && value["usage"].is_object()) {
        for (const char* name : {"prompt_tokens", "input_tokens"}) {
          if (value["usage"].contains(name)) said.push_back(value["usage"][name]);
        }
      }
    };
    if (!stream) {
      take(answer.Json());
      return said;
    }
    for (const json& event : answer.Events())
      take(event.contains("response") ? json{{"usage", event["response"]["usage"]}} : event);
    return said;
  }
};

TEST_F(ClientsTest, EveryShapeIsAnswered) {
  StartServer({{{"emit", "<|channel>thought\nHm.\n<channel|>The answer."}}});
  for (const Recorded& one : OwnShapes()) {
    const HttpAnswer answer = Post(one.path, one.body);
    EXPECT_EQ(answer.status, 200) << one.name << answer.body;
    EXPECT_EQ(answer.body.find("\"error\":{"), std::string::npos) << one.name << answer.body;
    EXPECT_EQ(answer.body.find("response.failed"), std::string::npos) << one.name << answer.body;
  }
}

TEST_F(ClientsTest, AKeyThatNobodyKnowsChangesNothingAndIsNamed) {
  StartServer({{{"emit", "<|channel>thought\nHm.\n<channel|>The answer."}}});
  std::vector<Recorded> all = OwnShapes();
  for (Recorded& one : Harnesses()) all.push_back(std::move(one));
  ASSERT_GT(all.size(), 80u);
  std::mt19937 random(20);
  const json values[] = {1, "text", false, json::array({1, "x"}), {{"deep", {{"er", 1}}}}};
  int tried = 0;
  for (const Recorded& one : all) {
    json body = one.body;
    body["seed"] = 1;
    const HttpAnswer plain = Post(one.path, body);
    ASSERT_EQ(plain.status, 200) << one.name << plain.body;
    for (int round = 0; round < 3; ++round) {
      json changed = body;
      std::vector<json*> places;
      Objects(changed, places);
      const std::string key = "zz_" + std::to_string(random() % 100000);
      (*places[random() % places.size()])[key] = values[random() % std::size(values)];
      const HttpAnswer answer = Post(one.path, changed);
      ASSERT_EQ(answer.status, 200) << one.name << answer.body;
      EXPECT_EQ(Said(answer), Said(plain)) << one.name << changed.dump(1);
      const size_t header = answer.head.find("X-Facet-Ignored: ");
      ASSERT_NE(header, std::string::npos) << one.name << changed.dump(1);
      EXPECT_NE(answer.head.find(key, header), std::string::npos)
          << one.name << answer.head << changed.dump(1);
      ++tried;
    }
  }
  EXPECT_GT(tried, 240);
}

}  // namespace
}  // namespace facet::serve
