// /v1/embeddings against a script: the state of a token is a unit vector of its id.
#include <cmath>
#include <cstring>

#include "base/base64.h"
#include "support/http_client.h"

namespace facet::serve {
namespace {

using nlohmann::json;

class EmbeddingsTest : public ServerTest {
 protected:
  HttpAnswer Embed(json body) {
    body["model"] = "gemma-4-12b";
    return Post("/v1/embeddings", body);
  }
};

TEST_F(EmbeddingsTest, GivesTheMeanOfLengthOne) {
  StartServer({{{"emit", "x"}}});
  const HttpAnswer answer = Embed({{"input", {5, 5, 5, 70}}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  const json body = answer.Json();
  EXPECT_EQ(body["object"], "list");
  EXPECT_EQ(body["model"], "gemma-4-12b");
  EXPECT_EQ(body["usage"], json({{"prompt_tokens", 4}, {"total_tokens", 4}}));
  EXPECT_EQ(body["embeddings"]["trained_for_embeddings"], false);
  const auto vector = body["data"][0]["embedding"].get<std::vector<float>>();
  ASSERT_EQ(vector.size(), 64u);
  EXPECT_NEAR(vector[5], 3 / std::sqrt(10.0), 1e-6);
  EXPECT_NEAR(vector[6], 1 / std::sqrt(10.0), 1e-6);
  // The same as base64.
  const std::string bytes =
      *DecodeBase64(Embed({{"input", {5, 5, 5, 70}}, {"encoding_format", "base64"}})
                        .Json()["data"][0]["embedding"]
                        .get<std::string>());
  std::vector<float> decoded(64);
  ASSERT_EQ(bytes.size(), 256u);
  std::memcpy(decoded.data(), bytes.data(), bytes.size());
  EXPECT_EQ(decoded, vector);
}

TEST_F(EmbeddingsTest, TakesTextsAndListsInTheirOrder) {
  StartServer({{{"emit", "x"}}});
  EXPECT_EQ(Embed({{"input", "one text"}}).Json()["data"].size(), 1u);
  EXPECT_EQ(Embed({{"input", {{1, 2}, {3}}}}).Json()["data"].size(), 2u);
  json many = json::array();
  for (int i = 0; i < 400; ++i) many.push_back(json::array({2, i % 60 + 2}));
  const json data = Embed({{"input", many}}).Json()["data"];
  ASSERT_EQ(data.size(), 400u);
  for (int i = 0; i < 400; ++i) {
    EXPECT_EQ(data[i]["index"], i);
    EXPECT_GT(data[i]["embedding"][i % 60 + 2].get<float>(), 0.5) << i;
  }
  EXPECT_EQ(Stats().generated_tokens, 0u);
  EXPECT_EQ(Stats().snapshots, 0u);
}

TEST_F(EmbeddingsTest, NamesWhatItRefuses) {
  StartServer({{{"emit", "x"}}});
  EXPECT_EQ(Embed({{"input", "a"}, {"dimensions", 64}}).status, 200);
  const std::pair<json, const char*> cases[] = {
      {{{"input", "a"}, {"dimensions", 32}}, "dimensions"},
      {{{"input", ""}}, "input"},
      {json::object(), "input"},
      {{{"input", json::array()}}, "input"},
      {{{"input", {1, "a"}}}, "input"},
      {{{"input", {-1}}}, "input"},
      {{{"input", {1 << 30}}}, "input"},
      {{{"input", 5}}, "input"},
      {{{"input", "a"}, {"encoding_format", "int8"}}, "encoding_format"}};
  for (const auto& [body, param] : cases) {
    const HttpAnswer answer = Embed(body);
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_EQ(answer.Json()["error"]["param"], param) << answer.body;
  }
}

TEST_F(EmbeddingsTest, ManyTextsInterleaveWithAnswers) {
  StartServer({{{"emit", "tick tack tick tack"}, {"delay_ms", 20}}});
  json many = json::array();
  for (int i = 0; i < 300; ++i) many.push_back("text " + std::to_string(i));
  std::thread texts([&] { EXPECT_EQ(Embed({{"input", many}}).Json()["data"].size(), 300u); });
  EXPECT_EQ(Chat().Json()["choices"][0]["message"]["content"], "tick tack tick tack");
  texts.join();
  EXPECT_TRUE(Idle());
}

}  // namespace
}  // namespace facet::serve
