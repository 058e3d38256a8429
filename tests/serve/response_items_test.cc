// The responses API as coding agents use it: items, namespaces, tools that take a text,
// conversations.
#include "serve/openai/responses.h"
#include "support/http_client.h"

namespace facet::serve {
namespace {

using nlohmann::json;

const char kCall[] =
    "<|channel>thought\nI "
    "look.\n<channel|>Wait.<|tool_call>call:helpers.close{target:<|\"|>h1<|\"|>}"
    "<tool_call|>";

class ResponseItemsTest : public ServerTest {
 protected:
  json Respond(json more) {
    json body = {{"model", "gemma-4-12b"}, {"input", "Hi"}};
    body.update(more);
    const HttpAnswer answer = Post("/v1/responses", body);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.status == 200 ? answer.Json() : json();
  }
  // The error's code and parameter.
  std::pair<std::string, std::string> Refused(json more) {
    json body = {{"model", "gemma-4-12b"}, {"input", "Hi"}};
    body.update(more);
    const HttpAnswer answer = Post("/v1/responses", body);
    EXPECT_GE(answer.status, 400) << answer.body;
    const json error = answer.Json()["error"];
    return {error["code"], error["param"].is_string() ? error["param"].get<std::string>() : ""};
  }
  static json Find(const json& output, const std::string& type) {
    for (const json& item : output) {
      if (item["type"] == type) return item;
    }
    return json();
  }
  static json Tools() {
    return json::parse(R"([{"type":"function","name":"run","parameters":{"type":"object"}},
        {"type":"namespace","name":"helpers","description":"d","tools":[
          {"type":"function","name":"close","parameters":{"type":"object","properties":{"target":{"type":"string"}}}}]},
        {"type":"custom","name":"edit","description":"Edits."},
        {"type":"web_search","external_web_access":false}])");
  }
};

TEST_F(ResponseItemsTest, NamespacesAreCalledBackAndHostedToolsLeftOut) {
  StartServer({{{"match", "response:helpers.close"}, {"emit", "Closed."}}, {{"emit", kCall}}});
  const HttpAnswer answer =
      Post("/v1/responses", {{"input", "Hi"}, {"tools", Tools()}, {"store", false}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_NE(
      answer.head.find("X-Facet-Ignored: tools[3].type=web_search, tools[3].external_web_access"),
      std::string::npos)
      << answer.head;
  const json output = answer.Json()["output"];
  const json call = Find(output, "function_call");
  EXPECT_EQ(call["name"], "close");
  EXPECT_EQ(call["namespace"], "helpers");
  EXPECT_EQ(call["arguments"], R"({"target":"h1"})");
  EXPECT_EQ(answer.Json()["tools"], Tools());  // as they were given
  json input = json::array({{{"role", "user"}, {"content", "Hi"}}});
  for (const json& item : output) input.push_back(item);
  input.push_back(
      {{"type", "function_call_output"}, {"call_id", call["call_id"]}, {"output", "ok"}});
  EXPECT_EQ(Find(Respond({{"input", input}, {"tools", Tools()}})["output"],
                 "message")["content"][0]["text"],
            "Closed.");
}

TEST_F(ResponseItemsTest, CustomToolsTakeAText) {
  StartServer({{{"match", "response:edit"}, {"emit", "Done."}},
               {{"emit", "<|tool_call>call:edit{input:<|\"|>a \"b\"\n<|\"|>}<tool_call|>"}}});
  const json call = Find(Respond({{"tools", Tools()}})["output"], "custom_tool_call");
  EXPECT_EQ(call["name"], "edit");
  EXPECT_EQ(call["input"], "a \"b\"\n");
  json body = {{"input", "Hi"}, {"tools", Tools()}, {"stream", true}};
  std::vector<std::string> types;
  std::string input;
  for (const json& event : Post("/v1/responses", body).Events()) {
    types.push_back(event["type"]);
    if (event["type"] == "response.custom_tool_call_input.delta") input += event["delta"];
    if (event["type"] == "response.custom_tool_call_input.done") {
      EXPECT_EQ(event["input"], input);
    }
  }
  EXPECT_EQ(input, "a \"b\"\n");
  EXPECT_EQ(types,
            (std::vector<std::string>{
                "response.created", "response.in_progress", "response.output_item.added",
                "response.custom_tool_call_input.delta", "response.custom_tool_call_input.done",
                "response.output_item.done", "response.completed"}));
  const json history = {
      {{"role", "user"}, {"content", "Hi"}},
      call,
      {{"type", "custom_tool_call_output"}, {"call_id", call["call_id"]}, {"output", "ok"}}};
  EXPECT_EQ(Find(Respond({{"input", history}, {"tools", Tools()}})["output"],
                 "message")["content"][0]["text"],
            "Done.");
}

TEST_F(ResponseItemsTest, ItemsOfKeptAnswersAreFoundById) {
  StartServer({{{"match", "Wait.(.|\n)*AGAIN"}, {"emit", "Found."}}, {{"emit", kCall}}});
  const json first = Respond({{"tools", Tools()}});
  const json message = Find(first["output"], "message"),
             call = Find(first["output"], "function_call");
  const json references = {
      {{"role", "user"}, {"content", "Hi"}},
      {{"type", "item_reference"}, {"id", Find(first["output"], "reasoning")["id"]}},
      {{"type", "item_reference"}, {"id", message["id"]}},
      {{"type", "item_reference"}, {"id", call["id"]}},
      {{"type", "function_call_output"}, {"call_id", call["call_id"]}, {"output", "ok"}},
      {{"role", "user"}, {"content", "AGAIN"}}};
  const json by_reference = Respond({{"input", references}, {"tools", Tools()}});
  EXPECT_EQ(Find(by_reference["output"], "message")["content"][0]["text"], "Found.");
  // The same prompt as with the items themselves.
  json whole = references;
  whole[1] = Find(first["output"], "reasoning");
  whole[2] = message;
  whole[3] = call;
  EXPECT_EQ(Respond({{"input", whole}, {"tools", Tools()}})["usage"]["input_tokens"],
            by_reference["usage"]["input_tokens"]);
  const std::pair<std::string, std::string> lost = {"item_not_found", "input[0].id"};
  EXPECT_EQ(Refused({{"input", {{{"type", "item_reference"}, {"id", "msg_nothing"}}}}}), lost);
  // What was not to be kept is not there, nor what was deleted.
  const json secret = Respond({{"store", false}});
  EXPECT_EQ(Refused({{"input", {{{"type", "item_reference"}, {"id", secret["output"][0]["id"]}}}}}),
            lost);
  const json gone = Respond({{"tools", Tools()}});
  EXPECT_EQ(Request("DELETE", "/v1/responses/" + gone["id"].get<std::string>()).status, 200);
  EXPECT_EQ(Refused({{"input", {{{"type", "item_reference"}, {"id", gone["output"][1]["id"]}}}}}),
            lost);
}

TEST_F(ResponseItemsTest, InputItemsAreGivenBackInPages) {
  StartServer({{{"emit", "ok"}}});
  json input = json::array();
  for (int i = 0; i < 5; ++i)
    input.push_back({{"role", "user"}, {"content", "m" + std::to_string(i)}});
  const std::string path =
      "/v1/responses/" + Respond({{"input", input}})["id"].get<std::string>() + "/input_items";
  const json all = Request("GET", path + "?order=asc").Json();
  ASSERT_EQ(all["data"].size(), 5u);
  EXPECT_EQ(all["data"][0]["content"], "m0");
  EXPECT_EQ(all["data"][0]["type"], "message");
  EXPECT_FALSE(all["has_more"].get<bool>());
  EXPECT_EQ(all["first_id"], all["data"][0]["id"]);
  const json page = Request("GET", path + "?limit=2").Json();
  EXPECT_EQ(page["data"][0]["content"], "m4");
  EXPECT_TRUE(page["has_more"].get<bool>());
  const json next =
      Request("GET", path + "?limit=2&after=" + page["last_id"].get<std::string>()).Json();
  EXPECT_EQ(next["data"][0]["content"], "m2");
  EXPECT_EQ(Request("GET", path + "?limit=0").Json()["error"]["param"], "limit");
  EXPECT_EQ(Request("GET", path + "?order=up").Json()["error"]["param"], "order");
  EXPECT_EQ(Request("GET", path + "?after=x").Json()["error"]["param"], "after");
  EXPECT_EQ(Request("GET", "/v1/responses/resp_x/input_items").status, 404);
}

TEST_F(ResponseItemsTest, InputTokensAreThoseThatTheAnswerReads) {
  StartServer({{{"emit", "ok"}}});
  const json asked = {{"input", "Count me."}, {"instructions", "Be brief."}, {"tools", Tools()}};
  const json counted = Post("/v1/responses/input_tokens", asked).Json();
  EXPECT_EQ(counted["object"], "response.input_tokens");
  EXPECT_EQ(counted["input_tokens"], Respond(asked)["usage"]["input_tokens"]);
}

TEST_F(ResponseItemsTest, ThoughtsAreSummarisedAndSealedWhereThatIsAskedFor) {
  StartServer({{{"emit", kCall}}});
  const json plain = Find(Respond({{"tools", Tools()}})["output"], "reasoning");
  EXPECT_TRUE(plain["summary"].empty());
  EXPECT_FALSE(plain.contains("encrypted_content"));
  const json asked = {{"tools", Tools()},
                      {"reasoning", {{"summary", "auto"}}},
                      {"include", {"reasoning.encrypted_content"}},
                      {"store", false}};
  const json first = Respond(asked);
  const json thoughts = Find(first["output"], "reasoning");
  EXPECT_EQ(thoughts["summary"], json::parse(R"([{"type":"summary_text","text":"I look."}])"));
  ASSERT_TRUE(thoughts["encrypted_content"].is_string());
  // A client that keeps the sealed form alone brings the thoughts back.
  const json call = Find(first["output"], "function_call");
  const json history = {
      {{"role", "user"}, {"content", "Hi"}},
      {{"type", "reasoning"},
       {"id", "rs_1"},
       {"summary", json::array()},
       {"encrypted_content", thoughts["encrypted_content"]}},
      call,
      {{"type", "function_call_output"}, {"call_id", call["call_id"]}, {"output", "ok"}}};
  const OrderedJson body = OrderedJson::parse(json{{"input", history}}.dump());
  const auto read = ReadResponses(body, {}, nullptr);
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->chat.conversation.messages[1]["reasoning_content"], "I look.");
  EXPECT_EQ(read->chat.conversation.messages[1]["tool_calls"].size(), 1u);
  json streamed = asked;
  streamed["input"] = "Hi";
  streamed["stream"] = true;
  std::string summary;
  int parts = 0;
  for (const json& event : Post("/v1/responses", streamed).Events()) {
    const std::string type = event["type"];
    if (type == "response.reasoning_summary_text.delta") summary += event["delta"];
    if (type == "response.reasoning_summary_text.done") {
      EXPECT_EQ(event["text"], summary);
    }
    parts += type == "response.reasoning_summary_part.added" ||
             type == "response.reasoning_summary_part.done";
  }
  EXPECT_EQ(summary, "I look.");
  EXPECT_EQ(parts, 2);
}

TEST_F(ResponseItemsTest, HintsAreTakenAndItemsOfOtherKindsKept) {
  StartServer({{{"match", "call:web_search(.|\n)*response:local_shell"}, {"emit", "Kept."}},
               {{"emit", "ok"}}});
  const HttpAnswer hints = Post("/v1/responses", {{"input", "Hi"},
                                                  {"truncation", "auto"},
                                                  {"text", {{"verbosity", "low"}}},
                                                  {"client_metadata", {{"a", "b"}}},
                                                  {"context_management", json::array()},
                                                  {"prompt_cache_options", json::object()}});
  ASSERT_EQ(hints.status, 200) << hints.body;
  EXPECT_EQ(hints.Json()["truncation"], "auto");
  for (const char* name : {"truncation", "text.verbosity", "client_metadata"})
    EXPECT_NE(hints.head.find(name), std::string::npos) << hints.head;
  const json history = json::parse(R"([{"role":"user","content":"Hi"},
      {"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"x"}},
      {"type":"message","role":"assistant","phase":"commentary","content":[{"type":"output_text","text":"a"}]},
      {"type":"local_shell_call","call_id":"l","status":"completed","action":{"type":"exec","command":["ls"]}},
      {"type":"local_shell_call_output","call_id":"l","output":"a b"},
      {"type":"code_interpreter_call","id":"ci_1","code":"1+1","outputs":[{"type":"logs","logs":"2"}]},
      {"type":"image_generation_call","id":"ig_1","status":"completed"},
      {"type":"mcp_call","id":"m_1","server_label":"s","name":"f","arguments":"{\"a\":1}","output":"o"},
      {"type":"mcp_list_tools","id":"ml_1","server_label":"s","tools":[]},
      {"type":"compaction","encrypted_content":"gAAA"},
      {"type":"message","role":"user","content":"go on"}])");
  EXPECT_EQ(Find(Respond({{"input", history}})["output"], "message")["content"][0]["text"],
            "Kept.");
  EXPECT_EQ(Refused({{"input", {{{"type", "hologram"}}}}}).second, "input[0].type");
  EXPECT_EQ(Refused({{"background", true}}).second, "background");
  EXPECT_EQ(Refused({{"prompt", {{"id", "p"}}}}).second, "prompt");
  EXPECT_EQ(Refused({{"truncation", "some"}}).second, "truncation");
}

TEST_F(ResponseItemsTest, ConversationsGrowWithTheirResponses) {
  StartServer({{{"match", "one(.|\n)*two(.|\n)*three"}, {"emit", "All three."}}, {{"emit", "ok"}}});
  const json made = Post("/v1/conversations",
                         {{"items", {{{"type", "message"}, {"role", "user"}, {"content", "one"}}}},
                          {"metadata", {{"topic", "t"}}}})
                        .Json();
  EXPECT_EQ(made["object"], "conversation");
  const std::string id = made["id"], path = "/v1/conversations/" + id;
  EXPECT_EQ(Request("GET", path).Json(), made);
  const json answer = Respond({{"input", "two"}, {"conversation", id}});
  EXPECT_EQ(answer["conversation"], json({{"id", id}}));
  const json items = Request("GET", path + "/items?order=asc").Json()["data"];
  ASSERT_EQ(items.size(), 3u);
  EXPECT_EQ(items[2]["id"], answer["output"][0]["id"]);
  EXPECT_EQ(Request("GET", path + "/items/" + items[0]["id"].get<std::string>()).Json(), items[0]);
  EXPECT_EQ(Find(Respond({{"input", "three"}, {"conversation", {{"id", id}}}})["output"],
                 "message")["content"][0]["text"],
            "All three.");
  const json added =
      Post(path + "/items", {{"items", {{{"role", "user"}, {"content", "four"}}}}}).Json();
  EXPECT_EQ(added["data"].size(), 1u);
  EXPECT_EQ(Request("DELETE", path + "/items/" + items[0]["id"].get<std::string>()).Json()["id"],
            id);
  EXPECT_EQ(Request("GET", path + "/items/" + items[0]["id"].get<std::string>()).status, 404);
  EXPECT_EQ(Post(path, {{"metadata", {{"topic", "u"}}}}).Json()["metadata"]["topic"], "u");
  EXPECT_EQ(Post(path + "/items", {{"items", {{{"type", "hologram"}}}}}).Json()["error"]["param"],
            "items[0].type");
  EXPECT_EQ(Request("DELETE", path).Json()["deleted"], true);
  EXPECT_EQ(Request("GET", path).status, 404);
  EXPECT_EQ(Refused({{"conversation", id}}).first, "conversation_not_found");
}

TEST_F(ResponseItemsTest, ConversationsBelongToTheirKey) {
  ASSERT_TRUE(options_.http.access.keys.Add("one").ok());
  ASSERT_TRUE(options_.http.access.keys.Add("two").ok());
  StartServer({{{"emit", "ok"}}});
  const auto headers = [](const char* key) {
    return std::string("Content-Type: application/json\r\nX-Api-Key: ") + key + "\r\n";
  };
  const std::string id = Request("POST", "/v1/conversations", "{}", headers("one")).Json()["id"];
  EXPECT_EQ(Request("GET", "/v1/conversations/" + id, "", headers("one")).status, 200);
  EXPECT_EQ(Request("GET", "/v1/conversations/" + id, "", headers("two")).status, 404);
}

}  // namespace
}  // namespace facet::serve
