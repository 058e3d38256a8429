// A server with a scripted model on a free port, and a client that speaks raw HTTP to it.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "serve/server.h"
#include "support/paths.h"
#include "support/temp_folder.h"
#include "support/wait.h"

namespace facet::serve {

struct HttpAnswer {
  int status = 0;
  std::string head, body;  // chunks joined
  bool closed = false;     // the server closed the connection
  nlohmann::json Json() const { return nlohmann::json::parse(body); }
  // The objects of a stream of server-sent events, without [DONE].
  std::vector<nlohmann::json> Events() const {
    std::vector<nlohmann::json> out;
    for (size_t at = 0; (at = body.find("data: ", at)) != std::string::npos; ++at) {
      if (at != 0 && body[at - 1] != '\n') continue;
      const std::string data = body.substr(at + 6, body.find("\n\n", at) - at - 6);
      if (data != "[DONE]") out.push_back(nlohmann::json::parse(data));
    }
    return out;
  }
};

class Connection {
 public:
  explicit Connection(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    // A busy machine compiles the constraints of a vocabulary for more than twenty seconds.
    const timeval limit{.tv_sec = 60, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~Connection() { Close(); }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  bool connected() const { return connected_; }
  int fd() const { return fd_; }

  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(n);
    }
    return true;
  }
  // More bytes into the buffer; false at the end.
  bool Receive() {
    char bytes[65536];
    const ssize_t n = recv(fd_, bytes, sizeof(bytes), 0);
    if (n > 0) buffer_.append(bytes, n);
    return n > 0;
  }
  const std::string& buffer() const { return buffer_; }

  // An answer to HEAD has no body, whatever length it names.
  HttpAnswer Read(bool has_body = true) {
    HttpAnswer answer;
    size_t end;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!Receive()) return answer;
    }
    answer.head = buffer_.substr(0, end + 4);
    buffer_.erase(0, end + 4);
    answer.status = std::atoi(answer.head.c_str() + 9);
    const size_t length = answer.head.find("Content-Length: ");
    if (has_body && length != std::string::npos) {
      const size_t want = std::strtoul(answer.head.c_str() + length + 16, nullptr, 10);
      while (buffer_.size() < want && Receive()) {
      }
      answer.body = buffer_.substr(0, want);
      buffer_.erase(0, answer.body.size());
    } else if (has_body && answer.head.find("chunked") != std::string::npos) {
      ReadChunks(answer);
    }
    answer.closed = answer.head.find("Connection: close") != std::string::npos;
    return answer;
  }

 private:
  void ReadChunks(HttpAnswer& answer) {
    for (;;) {
      size_t line;
      while ((line = buffer_.find("\r\n")) == std::string::npos) {
        if (!Receive()) return;
      }
      const size_t size = std::strtoul(buffer_.c_str(), nullptr, 16);
      while (buffer_.size() < line + 2 + size + 2) {
        if (!Receive()) return;
      }
      answer.body += buffer_.substr(line + 2, size);
      buffer_.erase(0, line + 2 + size + 2);
      if (size == 0) return;
    }
  }
  int fd_;
  bool connected_ = false;
  std::string buffer_;
};

class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    options_.http.port = 0;
    options_.model.vocabulary = std::filesystem::path(TestsDir()) / "reference/gemma4/vocab.gguf";
  }
  ~ServerTest() override { Stop(); }

  // Lines of a script.
  void StartServer(const std::vector<nlohmann::json>& lines) {
    const auto path = folder_ / "script.jsonl";
    std::ofstream out(path);
    for (const auto& line : lines) out << line.dump() << '\n';
    out.close();
    if (options_.models.empty())
      options_.models = {{.id = "gemma-4-12b", .files = {}, .script = path}};
    auto server = Server::Create(options_);
    ASSERT_TRUE(server.ok()) << server.error().message;
    server_ = std::move(*server);
    ended_ = false;
    thread_ = std::thread([this] {
      run_ = server_->Run();
      ended_ = true;
    });
    ASSERT_TRUE(WaitFor([&] { return server_->models().ready() || ended_; }));
  }
  void Stop() {
    if (!thread_.joinable()) return;
    server_->Drain();
    thread_.join();
    server_.reset();
  }

  HttpAnswer Request(const std::string& method, const std::string& path,
                     const std::string& body = "",
                     const std::string& headers = "Content-Type: application/json\r\n") {
    Connection connection(server_->port());
    std::string raw = method + " " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + headers;
    if (method == "POST") raw += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    connection.Send(raw + "\r\n" + body);
    return connection.Read(method != "HEAD");
  }
  HttpAnswer Post(const std::string& path, const nlohmann::json& body) {
    return Request("POST", path, body.dump());
  }
  HttpAnswer Chat(nlohmann::json more = nlohmann::json::object(), const std::string& text = "Hi") {
    nlohmann::json body = {{"model", "gemma-4-12b"},
                           {"messages", {{{"role", "user"}, {"content", text}}}}};
    body.update(more);
    return Post("/v1/chat/completions", body);
  }
  EngineStats Stats() { return server_->models().Loaded("gemma-4-12b")->engine->Stats(); }
  // Waits until no sequence runs or waits.
  bool Idle(double seconds = 60) {
    return WaitFor(
        [&] {
          const EngineStats stats = Stats();
          return stats.running == 0 && stats.waiting == 0;
        },
        std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000)));
  }

  const TempFolder temporary_;
  const std::filesystem::path folder_ = temporary_.path();
  ServerOptions options_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
  std::atomic<bool> ended_ = false;
  Result<void> run_ = Ok();  // once ended_ is set
};

}  // namespace facet::serve
