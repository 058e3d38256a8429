// HTTP/1.1 on Boost.Asio and Beast: one thread moves bytes, a few workers run handlers. Holds no
// knowledge of the API.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "serve/http/access.h"
#include "serve/http/http.h"

namespace facet::serve {

struct HttpOptions {
  std::string address = "127.0.0.1";  // an IP address, or "localhost"
  uint16_t port = 9379;               // 0: any free one
  AccessRules access;
  size_t max_body = size_t{128} << 20;
  // Of all bodies together that are arriving or that no handler is done with; at least two of the
  // largest.
  size_t max_bodies = size_t{512} << 20;
  uint32_t max_header = 32 << 10;
  int max_connections = 2048;
  // Connections of one address that show no request; the one that has waited longest is closed for
  // the next. Where max_connections are open, so is the one of all addresses.
  int max_waiting_per_address = 256;
  int workers = 4;
  // Requests that a thread of their own answers, whatever the workers do.
  std::function<bool(const HttpRequest&)> quick = [](const HttpRequest&) { return false; };
  // From the first byte to the end of the headers.
  std::chrono::milliseconds header_timeout{30'000};
  std::chrono::milliseconds idle_timeout{75'000};  // between requests of a connection
  std::chrono::milliseconds body_timeout{120'000};
  std::chrono::milliseconds write_timeout{60'000};  // without a byte taken
  std::chrono::milliseconds keepalive{5'000};       // between comments of an idle stream
  std::chrono::milliseconds drain{10'000};
  // SIGINT and SIGTERM drain; a second one ends the program at once, and so does work that has not
  // ended `last_work` after the drain.
  bool handle_signals = false;
  std::chrono::milliseconds last_work{10'000};
  std::function<void()> on_drain;
  // The shape of a request's errors.
  std::function<ErrorWriter(const HttpRequest&)> error_writer = [](const HttpRequest&) {
    return &ErrorResponse;
  };
};

class HttpServer {
 public:
  HttpServer(HttpOptions options, HttpHandler handler);
  ~HttpServer();

  // Binds and listens. Errors: address in use, not an address, no permission.
  Result<void> Listen();
  uint16_t port() const;

  // Serves until drained or stopped.
  void Run();

  // Accepts nothing more, lets running exchanges finish within the drain time, then ends Run. From
  // any thread.
  void Drain();
  bool draining() const;
  int connections() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace facet::serve
