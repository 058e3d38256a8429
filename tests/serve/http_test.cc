// Access rules, limits and lifetimes of connections.
#include "support/http_client.h"

namespace facet::serve {
namespace {

using nlohmann::json;

class HttpTest : public ServerTest {
 protected:
  HttpTest() {
    options_.http.header_timeout = std::chrono::milliseconds(400);
    options_.http.body_timeout = std::chrono::milliseconds(600);
    options_.http.max_body = 1 << 20;
    options_.http.keepalive = std::chrono::milliseconds(40);
  }
  int Status(const std::string& raw) {
    Connection connection(server_->port());
    connection.Send(raw);
    return connection.Read().status;
  }
  int WithHost(const std::string& headers) {
    return Status("GET /v1/models HTTP/1.1\r\n" + headers + "\r\n");
  }
};

TEST_F(HttpTest, AllowsExactHostsOnly) {
  StartServer({{{"emit", "Hello"}}});
  for (const char* good :
       {"127.0.0.1", "127.0.0.1:9379", "localhost", "LOCALHOST:1", "[::1]", "[::1]:80"}) {
    EXPECT_EQ(WithHost(std::string("Host: ") + good + "\r\n"), 200) << good;
  }
  for (const char* bad :
       {"evil.test", "localhost.evil.com", "127.0.0.1.nip.io", "127.0.0.2", "evil.test:9379"}) {
    EXPECT_EQ(WithHost(std::string("Host: ") + bad + "\r\n"), 403) << bad;
  }
  for (const char* bad : {"", "localhost:", "localhost:x", "[::1", ":80", "localhost:1:2"}) {
    EXPECT_EQ(WithHost(std::string("Host: ") + bad + "\r\n"), 400) << bad;
  }
  EXPECT_EQ(WithHost(""), 400);
  EXPECT_EQ(WithHost("Host: localhost\r\nHost: localhost\r\n"), 400);
  EXPECT_EQ(Status("GET http://evil.test/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"), 400);
  EXPECT_EQ(Status("GET /%00 HTTP/1.1\r\nHost: localhost\r\n\r\n"), 400);
}

TEST_F(HttpTest, AllowsNamedOriginsOnlyAndReflectsNone) {
  options_.http.access.origins = {"https://app.example"};
  StartServer({{{"emit", "Hello"}}});
  const auto with = [&](const std::string& origin) {
    return Request("GET", "/v1/models", "", "Origin: " + origin + "\r\n");
  };
  EXPECT_EQ(with("https://evil.example").status, 403);
  EXPECT_EQ(with("https://evil.example").head.find("Access-Control"), std::string::npos);
  EXPECT_EQ(with("null").status, 403);
  EXPECT_EQ(with("https://app.example.evil").status, 403);
  EXPECT_EQ(with("http://127.0.0.1").status, 200);  // the server's own pages
  const HttpAnswer good = with("https://app.example");
  EXPECT_EQ(good.status, 200);
  EXPECT_NE(good.head.find("Access-Control-Allow-Origin: https://app.example\r\n"),
            std::string::npos);
  EXPECT_EQ(good.head.find("Credentials"), std::string::npos);
  EXPECT_EQ(
      Request("OPTIONS", "/v1/chat/completions", "", "Origin: https://app.example\r\n").status,
      204);
  EXPECT_EQ(
      Request("OPTIONS", "/v1/chat/completions", "", "Origin: https://evil.example\r\n").status,
      403);
}

TEST_F(HttpTest, WantsJson) {
  StartServer({{{"emit", "Hello"}}});
  const std::string body = R"({"messages":[{"role":"user","content":"Hi"}]})";
  for (const char* type : {"Content-Type: text/plain\r\n", "Content-Type: application/jsonx\r\n",
                           "Content-Type: multipart/form-data; boundary=x\r\n",
                           "Content-Type: application/x-www-form-urlencoded\r\n"}) {
    const HttpAnswer answer = Request("POST", "/v1/chat/completions", body, type);
    EXPECT_EQ(answer.status, 415) << type;
    EXPECT_EQ(answer.Json()["error"]["code"], "unsupported_content_type");
  }
  EXPECT_EQ(Request("POST", "/v1/chat/completions", body,
                    "Content-Type: application/json; charset=utf-8\r\n")
                .status,
            200);
}

TEST_F(HttpTest, ChecksKeysInBothHeaders) {
  ASSERT_TRUE(options_.http.access.keys.Add("secret-one").ok());
  // SHA-256 of "two".
  ASSERT_TRUE(options_.http.access.keys
                  .Add("sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3")
                  .ok());
  StartServer({{{"emit", "Hello"}}});
  const auto with = [&](const std::string& headers) {
    return Request("GET", "/v1/models", "", headers).status;
  };
  EXPECT_EQ(with(""), 401);
  EXPECT_EQ(with("Authorization: Bearer secret-one\r\n"), 200);
  EXPECT_EQ(with("authorization: bearer secret-one\r\n"), 200);
  EXPECT_EQ(with("X-Api-Key: secret-one\r\n"), 200);
  EXPECT_EQ(with("X-Api-Key: two\r\n"), 200);
  EXPECT_EQ(with("Authorization: Bearer secret-on\r\n"), 401);
  EXPECT_EQ(with("Authorization: Bearer secret-one1\r\n"), 401);
  EXPECT_EQ(with("Authorization: Basic secret-one\r\n"), 401);
  EXPECT_EQ(with("Authorization: Bearer \r\n"), 401);
  EXPECT_EQ(with("Authorization: Bearer secret-one\r\nX-Api-Key: wrong\r\n"), 401);
  EXPECT_EQ(with("Authorization: Bearer secret-one\r\nX-Api-Key: two\r\n"), 401);
  EXPECT_EQ(Request("GET", "/health", "", "").status, 200);
  EXPECT_EQ(Request("GET", "/metrics", "", "").status, 200);
  const HttpAnswer refused = Request("GET", "/v1/models", "", "");
  EXPECT_EQ(refused.Json()["error"]["type"], "authentication_error");
}

TEST_F(HttpTest, RefusesAPublicAddressWithoutAKey) {
  options_.http.address = "0.0.0.0";
  options_.models = {{.id = "x", .files = {}, .script = "x"}};
  const auto server = Server::Create(options_);
  ASSERT_FALSE(server.ok());
  EXPECT_NE(server.error().message.find("--api-key"), std::string::npos);
}

TEST_F(HttpTest, LimitsBodiesHeadersAndTime) {
  StartServer({{{"emit", "Hello"}}});
  const std::string post =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
  EXPECT_EQ(Status(post + "Content-Length: 2000000000\r\n\r\n"), 413);
  EXPECT_EQ(
      Status("GET / HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(70000, 'x') + "\r\n\r\n"),
      431);
  std::string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 40; ++i) chunked += "10000\r\n" + std::string(65536, ' ') + "\r\n";
  EXPECT_EQ(Status(chunked), 413);
  EXPECT_EQ(Status("GET / HTTP/1.1\r\nHost: lo"), 408);               // a header that never ends
  EXPECT_EQ(Status(post + "Content-Length: 100\r\n\r\n{\"me"), 408);  // a body that never ends
  EXPECT_EQ(Status(post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            400);  // smuggling
  EXPECT_EQ(Status(post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxxx"), 400);
  EXPECT_EQ(Status("GARBAGE\r\n\r\n"), 400);
  EXPECT_EQ(Status(post + "Content-Length: -1\r\n\r\n"), 400);
  EXPECT_EQ(Request("GET", "/v1/models", "", "").status, 200);
}

TEST_F(HttpTest, UnknownRoutesAreJson) {
  StartServer({{{"emit", "Hello"}}});
  EXPECT_EQ(Request("GET", "/v0/models").Json()["error"]["code"], "not_found");
  EXPECT_EQ(Request("GET", "/api/v1/models").status, 404);
  const HttpAnswer wrong = Request("GET", "/v1/chat/completions");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_NE(wrong.head.find("Allow: POST"), std::string::npos);
}

TEST_F(HttpTest, KeepsConnectionsAndAnswersHead) {
  StartServer({{{"emit", "Hello"}}});
  Connection connection(server_->port());
  for (int i = 0; i < 3; ++i) {
    connection.Send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    EXPECT_EQ(connection.Read().status, 200);
  }
  // Two requests at once.
  connection.Send(
      "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: "
      "localhost\r\n\r\n");
  EXPECT_EQ(connection.Read().Json()["status"], "ok");
  EXPECT_EQ(connection.Read().Json()["object"], "list");
  connection.Send("HEAD /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  while (connection.Receive()) {
  }
  EXPECT_TRUE(connection.buffer().ends_with("\r\n\r\n"));
}

TEST_F(HttpTest, SendsHeadersEarlyAndCommentsWhileAPromptIsRead) {
  StartServer({{{"emit", "Hello"}, {"prefill_ms", 300}}});
  Connection connection(server_->port());
  const std::string body = json({{"messages", {{{"role", "user"}, {"content", "Hi"}}}},
                                 {"stream", true},
                                 {"return_progress", true}})
                               .dump();
  connection.Send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body);
  while (connection.buffer().find("\r\n\r\n") == std::string::npos)
    ASSERT_TRUE(connection.Receive());
  // The prompt is still being read.
  EXPECT_EQ(connection.buffer().find("data: "), std::string::npos);
  EXPECT_EQ(Stats().generated_tokens, 0u);
  const HttpAnswer answer = connection.Read();
  EXPECT_NE(answer.body.find(": keepalive"), std::string::npos);
  EXPECT_LT(answer.body.find(": keepalive"), answer.body.find("data: "));
  EXPECT_NE(answer.head.find("text/event-stream"), std::string::npos);
}

TEST_F(HttpTest, CancelsWhatNobodyWaitsFor) {
  StartServer({{{"emit", std::string(40000, 'a')}, {"delay_ms", 5}}});
  const std::string body =
      json({{"messages", {{{"role", "user"}, {"content", "Hi"}}}}, {"stream", true}}).dump();
  const std::string raw =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  uint64_t random = 3;
  for (int i = 0; i < 200; ++i) {
    Connection connection(server_->port());
    random = random * 6364136223846793005ULL + 1442695040888963407ULL;
    const size_t part = i % 4 == 0 ? (random >> 33) % raw.size() : raw.size();
    connection.Send(std::string_view(raw).substr(0, part));
    if (i % 2 == 0 && part == raw.size()) connection.Receive();
    std::this_thread::sleep_for(std::chrono::microseconds((random >> 40) % 4000));
  }
  EXPECT_TRUE(Idle());
  EXPECT_GT(Stats().finished_cancelled, 0u);
  // Whole answers are cancelled as well.
  {
    Connection connection(server_->port());
    const std::string whole = json({{"messages", {{{"role", "user"}, {"content", "Hi"}}}}}).dump();
    connection.Send(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
        "application/json\r\n"
        "Content-Length: " +
        std::to_string(whole.size()) + "\r\n\r\n" + whole);
    ASSERT_TRUE(WaitFor([&] { return Stats().running > 0; }));
  }
  EXPECT_TRUE(Idle());
  EXPECT_EQ(Chat({{"max_tokens", 2}}).status, 200);
}

TEST_F(HttpTest, SlowReadersPauseAndOthersGoOn) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "word ";
  StartServer({{{"match", "short"}, {"emit", "ok"}}, {{"emit", text}}});
  std::vector<std::unique_ptr<Connection>> slow;
  const std::string body =
      json({{"messages", {{{"role", "user"}, {"content", "Hi"}}}}, {"stream", true}}).dump();
  const std::string raw =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  for (int i = 0; i < 8; ++i) {
    slow.push_back(std::make_unique<Connection>(server_->port()));
    slow.back()->Send(raw);
  }
  EXPECT_EQ(Chat(json::object(), "short").Json()["choices"][0]["message"]["content"], "ok");
  // They still get everything.
  HttpAnswer answer = slow[0]->Read();
  std::string whole;
  for (const json& event : answer.Events())
    whole += event["choices"][0]["delta"].value("content", "");
  EXPECT_EQ(whole.size(), text.size());
  slow.clear();
  EXPECT_TRUE(Idle());
}

TEST_F(HttpTest, DrainsRunningRequestsAndRefusesNewOnes) {
  StartServer({{{"emit", "one two three four five six seven eight"}, {"delay_ms", 20}}});
  HttpAnswer answer;
  std::thread client([&] { answer = Chat(); });
  EXPECT_TRUE(WaitFor([&] { return Stats().running > 0; }));
  const uint16_t port = server_->port();
  Stop();
  client.join();
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.Json()["choices"][0]["finish_reason"], "stop");
  EXPECT_FALSE(Connection(port).connected());
}

TEST_F(HttpTest, SlowManyConnectionsThatReadSlowly) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "word ";
  options_.http.header_timeout = std::chrono::seconds(30);
  options_.http.body_timeout = std::chrono::seconds(30);
  options_.model.engine.max_queue = 2000;
  StartServer({{{"emit", text}}});
  const std::string body =
      json({{"messages", {{{"role", "user"}, {"content", "Hi"}}}}, {"stream", true}}).dump();
  const std::string raw =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  std::vector<std::unique_ptr<Connection>> all;
  for (int i = 0; i < 1000; ++i) {
    all.push_back(std::make_unique<Connection>(server_->port()));
    ASSERT_TRUE(all.back()->connected()) << i;
    ASSERT_TRUE(all.back()->Send(raw));
  }
  int complete = 0;
  for (const auto& connection : all)
    complete += connection->Read().body.ends_with("data: [DONE]\n\n");
  EXPECT_EQ(complete, 1000);
  all.clear();
  EXPECT_TRUE(Idle());
}

}  // namespace
}  // namespace facet::serve
