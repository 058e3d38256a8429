// Attacks on the server, each by somebody who may send what he likes and wants the others to wait.
// What all have in common: the attacker gets an error or his answer, others are answered meanwhile,
// and the server ends when it is told to.
#include <sys/resource.h>

#include "base/clock.h"
#include "serve/openai/finite_schema.h"
#include "serve/state/response_store.h"
#include "support/http_client.h"

namespace facet::serve {
namespace {

using nlohmann::json;

class Attacks : public ServerTest {
 protected:
  static std::string Head(const std::string& headers, const std::string& version = "1.1") {
    return "POST /v1/chat/completions HTTP/" + version +
           "\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n" + headers + "\r\n";
  }
  HttpAnswer Schema(const json& schema, json more = json::object()) {
    json format = {{"type", "json_schema"},
                   {"json_schema", {{"name", "answer"}, {"schema", schema}}}};
    more["response_format"] = std::move(format);
    return Chat(std::move(more));
  }
  // Builds what all forms are compiled with: a busy machine takes longer for it than a client
  // waits.
  void StartServerOfForms() {
    StartServer({{{"emit", "{}"}}});
    ASSERT_TRUE(server_->models().Loaded("gemma-4-12b")->Constraints().ok());
  }
  // Milliseconds until /health has answered.
  double Health() {
    const auto begin = Clock::now();
    EXPECT_EQ(Request("GET", "/health").status, 200);
    return MillisecondsSince(begin);
  }
};

// --- 41: requests inside of requests

TEST_F(Attacks, NoBodyHidesARequest) {
  StartServer({{{"emit", "Hello"}}});
  const std::string inner = "GET /v1/models/SMUGGLED HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
  const std::vector<std::string> framings = {
      "Transfer-Encoding: xchunked\r\n",
      "Transfer-Encoding: identity\r\n",
      "Transfer-Encoding: chunked, identity\r\n",
      "Transfer-Encoding: chunked, chunked\r\n",
      "Transfer-Encoding: \"chunked\"\r\n",
      "Transfer-Encoding: \r\n",
      "Transfer-Encoding: gzip, chunked\r\n",
      "Transfer-Encoding: chunked;x=1\r\n",
      "Transfer-Encoding: ,chunked\r\n",
      "Transfer-Encoding:\r\n chunked\r\n identity\r\n",
      "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
      "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
      "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
      "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
      "Content-Length: 0\r\nContent-Length: 0\r\n",
      "Content-Length: 0\r\nContent-Length: 60\r\n",
      "Content-Length: 0, 0\r\n",
      "Content-Length: +0\r\n",
      "Content-Length: -1\r\n",
      "Content-Length: 0x10\r\n",
      "Content-Length: \r\n"};
  for (const std::string& framing : framings) {
    Connection connection(server_->port());
    connection.Send(Head(framing) + inner);
    const HttpAnswer answer = connection.Read();
    EXPECT_EQ(answer.status, 400) << framing;
    EXPECT_TRUE(answer.closed) << framing;
    EXPECT_EQ(connection.Read().status, 0) << framing;  // nothing more comes
  }
  Connection old(server_->port());
  old.Send(Head("Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n", "1.0") + inner);
  EXPECT_EQ(old.Read().status, 400);
  EXPECT_EQ(old.Read().status, 0);
}

TEST_F(Attacks, ChunkedBodiesAreStillRead) {
  StartServer({{{"emit", "Hello"}}});
  const std::string body = json{{"messages", {{{"role", "user"}, {"content", "Hi"}}}}}.dump();
  char size[16];
  std::snprintf(size, sizeof(size), "%zx\r\n", body.size());
  for (const char* coding : {"chunked", "Chunked", " chunked "}) {
    Connection connection(server_->port());
    connection.Send(Head("Transfer-Encoding: " + std::string(coding) + "\r\n") + size + body +
                    "\r\n0\r\n\r\n");
    EXPECT_EQ(connection.Read().status, 200) << coding;
  }
}

// --- 29: more than the server holds

TEST_F(Attacks, AllBodiesShareOneBudget) {
  options_.http.max_body = 4 << 20;
  options_.http.max_bodies = 8 << 20;
  StartServer({{{"emit", "Hello"}}});
  const std::string part(3 << 20, 'a');
  std::vector<std::unique_ptr<Connection>> open;
  for (int i = 0; i < 5; ++i) {
    open.push_back(std::make_unique<Connection>(server_->port()));
    open.back()->Send(Head("Content-Length: 4000000\r\n") + part);
  }
  // Some are refused at some byte of their bodies: no more than two can be held.
  const auto refused = [&] {
    return std::count_if(open.begin(), open.end(), [](const auto& connection) {
      char byte;
      return recv(connection->fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
    });
  };
  ASSERT_TRUE(WaitFor([&] { return refused() >= 3; }));
  for (const auto& connection : open) {
    char byte;
    if (recv(connection->fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1) {
      EXPECT_EQ(connection->Read().status, 503);
    }
  }
  EXPECT_EQ(Request("GET", "/v1/models").status, 200);
  open.clear();
  EXPECT_TRUE(WaitFor([&] { return Chat().status == 200; }));
  // What was read is given back: many more bodies than the budget holds, one after the other.
  std::string words;
  while (words.size() < (2 << 20)) words += "one two ";
  for (int i = 0; i < 6; ++i)
    EXPECT_EQ(Chat(json::object(), words).Json()["error"]["code"], "context_length_exceeded") << i;
}

TEST_F(Attacks, ConnectionsThatAskNothingGiveWay) {
  options_.http.max_waiting_per_address = 8;
  options_.http.max_connections = 20;
  StartServer({{{"emit", "Hello"}}});
  std::vector<std::unique_ptr<Connection>> idle;
  for (int i = 0; i < 60; ++i) {
    idle.push_back(std::make_unique<Connection>(server_->port()));
    if (i % 2 == 1) idle.back()->Send("GET /v1/models HTTP/1.1\r\nHo");  // never finished
  }
  EXPECT_EQ(Request("GET", "/v1/models").status, 200);
  EXPECT_EQ(Chat().status, 200);
  // The newest ones are still there.
  idle.back()->Send("st: 127.0.0.1\r\n\r\n");
  EXPECT_EQ(idle.back()->Read().status, 200);
  EXPECT_FALSE(idle.front()->Receive());
}

// --- texts that no context holds

TEST_F(Attacks, TextsThatAreTooLongCostLittle) {
  StartServer({{{"emit", "Hello"}}});
  std::string words;
  while (words.size() < (24 << 20)) words += "hello world ";
  const auto begin = Clock::now();
  const HttpAnswer chat = Chat(json::object(), words);
  EXPECT_EQ(chat.status, 400);
  EXPECT_EQ(chat.Json()["error"]["code"], "context_length_exceeded");
  EXPECT_EQ(chat.Json()["error"]["param"], "messages");
  const HttpAnswer text = Post("/v1/completions", {{"prompt", words}});
  EXPECT_EQ(text.status, 400);
  EXPECT_EQ(text.Json()["error"]["code"], "context_length_exceeded");
  // A machine whose processors all have other work is slower than this needs.
  EXPECT_LT(SecondsSince(begin), 60);
}

// --- 33: forms of answers that never compile, or take for ever

// Each of these is refused; the place that the error names.
const std::vector<std::pair<json, std::string>>& HopelessSchemas() {
  static const json kLoop = {
      {"$defs", {{"a", {{"$ref", "#/$defs/b"}}}, {"b", {{"$ref", "#/$defs/a"}}}}},
      {"type", "object"},
      {"properties", {{"x", {{"$ref", "#/$defs/a"}}}}},
      {"required", {"x"}}};
  const auto property = [](json schema) {
    return json{{"type", "object"},
                {"properties", {{"good", {{"type", "string"}}}, {"bad", std::move(schema)}}},
                {"required", {"good", "bad"}}};
  };
  static const std::vector<std::pair<json, std::string>> kSchemas = {
      {{{"$ref", "#"}}, "schema"},
      {kLoop, "schema.properties.x"},
      {property({{"type", "integer"}, {"multipleOf", 999983}}), "schema.properties.bad"},
      {property({{"type", "integer"}, {"multipleOf", 7919}, {"minimum", 1}, {"maximum", 7918}}),
       "schema.properties.bad"},
      {property({{"type", "string"}, {"pattern", "^(?=a)b$"}}), "schema.properties.bad"},
      // An intersection of patterns, whose automaton would be larger than any memory.
      {property({{"allOf",
                  {{{"type", "string"}, {"pattern", "^(a|b)*a(a|b){23}$"}},
                   {{"type", "string"}, {"pattern", "^(a|b)*b(a|b){24}$"}},
                   {{"type", "string"}, {"pattern", "^(a|b)*a(a|b){25}$"}},
                   {{"type", "string"}, {"pattern", "^(a|b)*b(a|b){26}$"}},
                   {{"type", "string"}, {"pattern", "^(a|b)*a(a|b){27}$"}},
                   {{"type", "string"}, {"pattern", "^(a|b)*b(a|b){28}$"}},
                   {{"type", "string"}, {"pattern", "^(a|b)*a(a|b){29}$"}}}}}),
       "schema.properties.bad"},
      {property({{"type", "array"},
                 {"items", {{"type", "array"}, {"items", {{"$ref", "#/$defs/none"}}}}}}),
       "schema.properties.bad.items.items"},
      {property({{"type", "string"}, {"enum", json::array()}}), "schema.properties.bad"},
      {property({{"type", "string"}, {"minLength", 9}, {"maxLength", 3}}), "schema.properties.bad"},
  };
  return kSchemas;
}

TEST(FiniteSchema, FindsWhatLeadsBackToItself) {
  const auto place = [](const char* text) -> std::string {
    const auto checked = CheckFinite(OrderedJson::parse(text));
    return checked ? "" : checked.error().message.substr(0, checked.error().message.find(':'));
  };
  EXPECT_EQ(place(R"({"$ref": "#"})"), "schema");
  EXPECT_EQ(place(R"({"allOf": [{"$ref": "#"}]})"), "schema.allOf[0]");
  EXPECT_EQ(place(R"({"anyOf": [{"$ref": "#"}, {"$ref": "#/anyOf/0"}]})"), "schema");
  EXPECT_EQ(place(R"({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})"),
            "schema.properties.a");
  EXPECT_EQ(place(R"({"type": "array", "items": {"$ref": "#"}, "minItems": 1})"), "schema.items");
  // These end.
  EXPECT_EQ(place(R"({"type": "object", "properties": {"a": {"$ref": "#"}}})"), "");
  EXPECT_EQ(place(R"({"type": "array", "items": {"$ref": "#"}})"), "");
  EXPECT_EQ(place(R"({"anyOf": [{"type": "null"}, {"type": "array", "items": {"$ref": "#"}}]})"),
            "");
  EXPECT_EQ(place(R"({"$defs": {"node": {"type": "object", "properties": {"next":
      {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["next"]}},
      "$ref": "#/$defs/node"})"),
            "");
  EXPECT_EQ(place(R"({"$ref": "#/$defs/missing"})"), "");
  EXPECT_EQ(place("true"), "");
  json chain = {{"$ref", "#/$defs/0"}};
  for (int i = 0; i < 5000; ++i)
    chain["$defs"][std::to_string(i)] = {{"$ref", "#/$defs/" + std::to_string(i + 1)}};
  EXPECT_EQ(place(chain.dump().c_str()), "");  // deeper than a stack
}

TEST_F(Attacks, SchemasThatNeverCompileAreRefusedWithTheirPlace) {
  StartServerOfForms();
  for (const auto& [schema, place] : HopelessSchemas()) {
    const auto begin = Clock::now();
    const HttpAnswer answer = Schema(schema);
    EXPECT_EQ(answer.status, 400) << schema << answer.body;
    if (answer.status != 400) continue;
    const json error = answer.Json()["error"];
    EXPECT_EQ(error["code"], "unsupported_schema") << schema;
    EXPECT_EQ(error["param"], "response_format") << schema;
    EXPECT_NE(error["message"].get<std::string>().find(place), std::string::npos)
        << place << "\n"
        << error["message"];
    EXPECT_LT(SecondsSince(begin), 60) << schema;
  }
}

// Large or deep, but nothing that has no end: 200 or 400, soon.
std::vector<json> HeavySchemas() {
  std::vector<json> schemas;
  json words = json::array();
  for (int i = 0; i < 20000; ++i) words.push_back("word " + std::to_string(i * 7919));
  schemas.push_back({{"type", "string"}, {"enum", words}});
  json wide = json::object();
  for (int i = 0; i < 3000; ++i)
    wide["p" + std::to_string(i)] = {{"type", "string"}, {"maxLength", i + 1}};
  schemas.push_back({{"type", "object"}, {"properties", wide}});
  json deep = {{"type", "string"}};
  for (int i = 0; i < 40; ++i) deep = {{"type", "array"}, {"items", deep}};
  schemas.push_back(deep);
  json doubling = {{"type", "string"}};
  for (int i = 0; i < 24; ++i) doubling = {{"anyOf", {doubling, {{"type", "null"}}}}};
  schemas.push_back(doubling);
  json defs = {{"d0", {{"type", "string"}, {"pattern", "^[a-z]{1,50}$"}}}};
  for (int i = 1; i < 40; ++i) {
    const json before = {{"$ref", "#/$defs/d" + std::to_string(i - 1)}};
    defs["d" + std::to_string(i)] = {{"anyOf", {before, {{"type", "array"}, {"items", before}}}}};
  }
  schemas.push_back({{"$defs", defs}, {"$ref", "#/$defs/d39"}});
  for (const char* pattern :
       {"^(a|aa)+$", "^((a*)*)*$", "(x+x+)+y", "^[a-z]*a[a-z]{60}b[a-z]{60}c$",
        "^(a|b)*a(a|b){18}$", "^(((a{1,300}){1,300}){1,300}){1,300}$", "^(?:[0-9]{1,3}\\.){3000}x$",
        "^\\p{L}{1,9999}$"})
    schemas.push_back({{"type", "string"}, {"pattern", pattern}});
  schemas.push_back({{"type", "string"}, {"minLength", 5000}, {"maxLength", 100000}});
  schemas.push_back({{"type", "array"},
                     {"items", {{"type", "integer"}}},
                     {"minItems", 3000},
                     {"maxItems", 90000}});
  schemas.push_back({{"type", "integer"}, {"multipleOf", 97}});
  return schemas;
}

TEST_F(Attacks, HeavySchemasEndSoonAndTheirKeywordsAreNamed) {
  StartServerOfForms();
  for (const json& schema : HeavySchemas()) {
    const auto begin = Clock::now();
    const HttpAnswer answer =
        Schema({{"type", "object"}, {"properties", {{"x", schema}}}, {"required", {"x"}}},
               {{"max_tokens", 3}});
    const double seconds = SecondsSince(begin);
    EXPECT_TRUE(answer.status == 200 || answer.status == 400)
        << answer.status << schema.dump().substr(0, 200) << answer.body;
    EXPECT_LT(seconds, 60) << schema.dump().substr(0, 200);
  }
}

TEST_F(Attacks, FormsThatCompileLongKeepNobodyWaiting) {
  StartServerOfForms();
  Health();
  std::atomic<bool> over{false};
  std::vector<std::thread> attackers;
  for (int i = 0; i < 4; ++i) {
    attackers.emplace_back([&, i] {
      for (size_t n = i; !over; ++n) {
        const auto& hopeless = HopelessSchemas();
        Schema(hopeless[n % hopeless.size()].first);
      }
    });
  }
  double worst = 0;
  for (int i = 0; i < 10; ++i) {
    worst = std::max(worst, Health());
    EXPECT_EQ(Chat().status, 200);
  }
  over = true;
  for (std::thread& attacker : attackers) attacker.join();
  // 100 ms, and room for a machine whose processors all have other work.
  EXPECT_LT(worst, 1000);
}

TEST_F(Attacks, TheServerEndsWhileFormsCompileForClientsThatLeft) {
  options_.http.drain = std::chrono::milliseconds(200);
  StartServerOfForms();
  for (int i = 0; i < 40; ++i) {
    const json body = {
        {"messages", {{{"role", "user"}, {"content", "Hi"}}}},
        {"response_format",
         {{"type", "json_schema"},
          {"json_schema",
           {{"name", "a"}, {"schema", HopelessSchemas()[i % HopelessSchemas().size()].first}}}}}};
    const std::string text = body.dump();
    Connection connection(server_->port());
    connection.Send(Head("Content-Length: " + std::to_string(text.size()) + "\r\n") + text);
  }
  const auto begin = Clock::now();
  Stop();
  EXPECT_LT(SecondsSince(begin), 60);
}

// A tool that is not strict is held to what can be enforced of it.
TEST_F(Attacks, OneToolThatNeverCompilesDoesNotSpoilTheOthers) {
  StartServer({{{"emit", "<|tool_call>call:add{a:1}<tool_call|>"}}});
  const auto tool = [](const std::string& name, bool strict) {
    return json{{"type", "function"},
                {"function",
                 {{"name", name},
                  {"strict", strict},
                  {"parameters",
                   {{"type", "object"},
                    {"properties", {{"a", {{"type", "integer"}, {"multipleOf", 999983}}}}}}}}}};
  };
  const HttpAnswer loose =
      Chat({{"tools", {tool("add", false)}}, {"tool_choice", "required"}, {"max_tokens", 30}});
  EXPECT_EQ(loose.status, 200) << loose.body;
  const HttpAnswer strict = Chat({{"tools", {tool("add", true)}}, {"tool_choice", "required"}});
  EXPECT_EQ(strict.status, 400);
  EXPECT_NE(strict.Json()["error"]["message"].get<std::string>().find("tools[0].function"),
            std::string::npos)
      << strict.body;
}

// --- 48: one key's share of what is kept

StoredResponse ResponseOf(size_t bytes) {
  StoredResponse response;
  response.conversation.media = {std::string(bytes, 'x')};
  return response;
}

TEST(ResponseQuota, AKeyThatStoresMuchLosesItsOwn) {
  ResponseStore store({.bytes = 10 << 20, .tenant_bytes = 4 << 20});
  store.Put("quiet", "q", ResponseOf(100));
  for (int i = 0; i < 100; ++i) store.Put("loud", std::to_string(i), ResponseOf(1 << 20));
  EXPECT_TRUE(store.Get("quiet", "q").has_value());
  int kept = 0;
  for (int i = 0; i < 100; ++i) kept += store.Get("loud", std::to_string(i)).has_value();
  EXPECT_EQ(kept, 3);  // the newest
  EXPECT_TRUE(store.Get("loud", "99").has_value());
}

TEST(ResponseQuota, WhereAllTogetherHaveTooMuchTheLargestGivesWay) {
  ResponseStore store({.bytes = 10 << 20, .tenant_bytes = 4 << 20});
  store.Put("small", "s", ResponseOf(1 << 20));
  for (const char* tenant : {"a", "b", "c"}) {
    for (int i = 0; i < 3; ++i) store.Put(tenant, std::to_string(i), ResponseOf(1 << 20));
  }
  EXPECT_TRUE(store.Get("small", "s").has_value());
  EXPECT_TRUE(store.Erase("small", "s"));
  EXPECT_FALSE(store.Erase("small", "s"));
  EXPECT_FALSE(store.Get("small", "s").has_value());
}

TEST(ResponseQuota, ManySmallOnesAreNotFree) {
  ResponseStore store({.bytes = 1 << 20, .tenant_bytes = 1 << 20});
  for (int i = 0; i < 1000; ++i) store.Put("", std::to_string(i), ResponseOf(1));
  EXPECT_FALSE(store.Get("", "0").has_value());
  EXPECT_TRUE(store.Get("", "999").has_value());
}

}  // namespace
}  // namespace facet::serve
