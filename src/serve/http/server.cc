#include "serve/http/server.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cctype>
#include <set>

#include "base/log.h"
#include "base/os/os.h"
#include "serve/http/exchange.h"
#include "serve/http/wire.h"

// GCC 12 takes the coroutine frames of Asio for a mismatch of new and delete.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

namespace facet::serve {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;
using boost::system::error_code;

using Parser = http::request_parser<http::string_body>;

std::optional<ApiError> Late() {
  return ApiError{408, "the request did not arrive in time", "request_timeout", {}};
}

std::optional<ApiError> ParseError(const error_code& ec, const HttpOptions& options) {
  if (ec == http::error::end_of_stream || ec == asio::error::operation_aborted ||
      ec == asio::error::eof || ec == asio::error::connection_reset) {
    return std::nullopt;
  }
  if (ec == http::error::header_limit) {
    return ApiError{431,
                    Cat("headers are longer than ", options.max_header, " bytes"),
                    "headers_too_large",
                    {}};
  }
  if (ec == http::error::body_limit) {
    return ApiError{
        413, Cat("the body is longer than ", options.max_body, " bytes"), "body_too_large", {}};
  }
  if (ec == http::error::partial_message) return std::nullopt;
  return ApiError{400, Cat("malformed HTTP request: ", ec.message()), "bad_request", {}};
}

}  // namespace

// One client connection.
struct Session {
  explicit Session(tcp::socket socket)
      : stream(std::move(socket)), deadline(stream.get_executor()) {}
  beast::tcp_stream stream;
  beast::flat_buffer buffer;
  bool busy = false;  // inside an exchange
  bool late = false;  // its time to send a request is over
  asio::steady_timer deadline;
};

struct HttpServer::State : std::enable_shared_from_this<State> {
  HttpOptions options;
  Handler handler;
  asio::io_context io{1};
  tcp::acceptor acceptor{io};
  asio::thread_pool workers;
  asio::steady_timer drain_timer{io};
  std::set<std::shared_ptr<Session>> sessions;  // io thread only
  std::set<std::shared_ptr<Core>> cores;        // io thread only
  std::atomic<bool> draining{false};
  std::atomic<int> connections{0};

  State(HttpOptions o, Handler h)
      : options(std::move(o)), handler(std::move(h)), workers(options.workers) {}

  awaitable<void> Accept();
  awaitable<void> Serve(std::shared_ptr<Session> session);
  awaitable<bool> Exchange(Session& session, std::shared_ptr<Session> keep);
  awaitable<bool> Answer(Session& session, const HttpResponse& response, const Headers& extra,
                         HeadOptions options, bool head_only);
  awaitable<bool> Refuse(Session& session, const ApiError& error, const Headers& extra);
  awaitable<bool> Reply(Session& session, std::shared_ptr<Core> core, const Parser& parser,
                        const Headers& extra);
  awaitable<bool> Stream(Session& session, std::shared_ptr<Core> core, const Headers& extra,
                         HeadOptions head);
  awaitable<void> Watch(std::shared_ptr<Session> session, std::shared_ptr<Core> core);
  awaitable<bool> WriteAll(Session& session, std::string_view bytes);
  // Cancels the session's reading then, unless it is called again before. Zero: no limit.
  void Within(const std::shared_ptr<Session>& session, std::chrono::milliseconds time);
  void BeginDrain();
  void EndIfDrained();
};

namespace {

HttpRequest ReadHead(const Parser& parser, std::optional<ApiError>& error) {
  HttpRequest request;
  const auto& message = parser.get();
  request.method = std::string(message.method_string());
  for (const auto& field : message) {
    std::string name(field.name_string());
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    request.headers.emplace_back(std::move(name), std::string(field.value()));
  }
  const std::string_view target(message.target().data(), message.target().size());
  const size_t question = target.find('?');
  if (question != std::string_view::npos) request.query = target.substr(question + 1);
  const auto path = PercentDecode(target.substr(0, question));
  if (!target.starts_with('/') || !path) {
    error =
        ApiError{400, "expected a request target that begins with '/'", "bad_target", std::nullopt};
  } else {
    request.path = *path;
  }
  return request;
}

HttpResponse Preflight() {
  HttpResponse response{.status = 204, .body = {}, .headers = {}};
  // "*" does not speak for Authorization; it does for the X-Stainless-* of OpenAI's own client.
  response.headers = {{"Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS"},
                      {"Access-Control-Allow-Headers", "Authorization, *"},
                      {"Access-Control-Max-Age", "600"}};
  return response;
}

}  // namespace

awaitable<bool> HttpServer::State::WriteAll(Session& session, std::string_view bytes) {
  // Piece by piece, so that the time limit is for progress and not for the whole.
  while (!bytes.empty()) {
    error_code ec;
    session.stream.expires_after(options.write_timeout);
    const size_t n = co_await session.stream.async_write_some(
        asio::const_buffer(bytes.data(), std::min<size_t>(bytes.size(), 64 << 10)),
        asio::redirect_error(use_awaitable, ec));
    if (ec) co_return false;
    bytes.remove_prefix(n);
  }
  session.stream.expires_never();
  co_return true;
}

awaitable<bool> HttpServer::State::Answer(Session& session, const HttpResponse& response,
                                          const Headers& extra, HeadOptions head, bool head_only) {
  std::string bytes = ResponseHead(response, extra, head);
  if (!head_only) bytes += response.body;
  const bool sent = co_await WriteAll(session, bytes);
  co_return sent&& head.keep;
}

// Answers before the body was read, and reads on for a moment so that the client sees the answer
// and not a reset.
awaitable<bool> HttpServer::State::Refuse(Session& session, const ApiError& error,
                                          const Headers& extra) {
  const HttpResponse response = ErrorResponse(error);
  co_await Answer(session, response, extra, HeadOptions{.keep = false}, false);
  error_code ec;
  session.stream.socket().shutdown(tcp::socket::shutdown_send, ec);
  session.stream.expires_after(std::chrono::seconds(1));
  std::vector<char> sink(64 << 10);
  for (size_t total = 0; total < size_t{64} << 20 && !ec;) {
    total += co_await session.stream.async_read_some(asio::buffer(sink),
                                                     asio::redirect_error(use_awaitable, ec));
  }
  co_return false;
}

awaitable<void> HttpServer::State::Watch(std::shared_ptr<Session> session,
                                         std::shared_ptr<Core> core) {
  error_code ec;
  auto& socket = session->stream.socket();
  co_await socket.async_wait(tcp::socket::wait_read, asio::redirect_error(use_awaitable, ec));
  if (ec || !socket.is_open()) {
    core->ClientGone();
    co_return;
  }
  char byte;
  const ssize_t n = recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)) core->ClientGone();
}

awaitable<bool> HttpServer::State::Stream(Session& session, std::shared_ptr<Core> core,
                                          const Headers& extra, HeadOptions head) {
  HttpResponse response{.content_type = "text/event-stream", .body = {}, .headers = {}};
  const std::string headers = ResponseHead(response, extra, head);
  bool open = co_await WriteAll(session, headers);
  while (open) {
    Core::Work work = core->Take();
    if (work.closed) co_return false;
    if (!work.bytes.empty()) {
      const std::string bytes = head.chunked ? Chunk(std::move(work.bytes)) : std::move(work.bytes);
      open = co_await WriteAll(session, bytes);
      core->Sent();
      continue;
    }
    if (work.ended) break;
    const auto begin = std::chrono::steady_clock::now();
    co_await core->Wait(options.keepalive);
    if (std::chrono::steady_clock::now() - begin < options.keepalive) continue;
    if (PeerHasClosed(session.stream.socket().native_handle())) co_return false;
    std::string comment = Cat(": ", core->Comment(), "\n\n");
    const std::string bytes = head.chunked ? Chunk(std::move(comment)) : std::move(comment);
    open = co_await WriteAll(session, bytes);
  }
  if (open && head.chunked) open = co_await WriteAll(session, "0\r\n\r\n");
  co_return open&& head.keep;
}

awaitable<bool> HttpServer::State::Reply(Session& session, std::shared_ptr<Core> core,
                                         const Parser& parser, const Headers& extra) {
  const bool http11 = parser.get().version() >= 11;
  const bool head_only = parser.get().method() == http::verb::head;
  for (;;) {
    if (core->Closed()) co_return false;
    const Core::Mode mode = core->mode();
    const bool keep = parser.get().keep_alive() && !draining;
    if (mode == Core::Mode::kWhole) {
      const HttpResponse response = core->TakeResponse();
      co_return co_await Answer(session, response, extra, HeadOptions{.keep = keep}, head_only);
    }
    if (mode == Core::Mode::kStream) {
      const HeadOptions head{.keep = keep && http11, .stream = true, .chunked = http11};
      co_return co_await Stream(session, core, extra, head);
    }
    co_await core->Wait(std::chrono::seconds(1));
    if (PeerHasClosed(session.stream.socket().native_handle())) co_return false;
  }
}

awaitable<bool> HttpServer::State::Exchange(Session& session, std::shared_ptr<Session> keep) {
  error_code ec;
  if (session.buffer.size() == 0) {
    Within(keep, options.idle_timeout);
    const size_t n = co_await session.stream.async_read_some(
        session.buffer.prepare(4096), asio::redirect_error(use_awaitable, ec));
    if (ec) co_return false;
    session.buffer.commit(n);
  }
  session.busy = true;
  Parser parser;
  parser.header_limit(options.max_header);
  parser.body_limit(options.max_body);
  Within(keep, options.header_timeout);
  co_await http::async_read_header(session.stream, session.buffer, parser,
                                   asio::redirect_error(use_awaitable, ec));
  Headers extra;
  if (ec) {
    const auto error = session.late ? Late() : ParseError(ec, options);
    if (error) co_await Refuse(session, *error, extra);
    co_return false;
  }
  std::optional<ApiError> error;
  auto request = std::make_shared<HttpRequest>(ReadHead(parser, error));
  if (!error) error = CheckAccess(options.access, *request, extra);
  if (!error && parser.content_length() && *parser.content_length() > options.max_body) {
    error = ParseError(http::make_error_code(http::error::body_limit), options);
  }
  if (error) co_return co_await Refuse(session, *error, extra);
  if (request->Header("expect") == "100-continue") {
    if (!co_await WriteAll(session, "HTTP/1.1 100 Continue\r\n\r\n")) co_return false;
  }
  Within(keep, options.body_timeout);
  co_await http::async_read(session.stream, session.buffer, parser,
                            asio::redirect_error(use_awaitable, ec));
  const bool late = session.late;
  Within(keep, {});
  if (ec) {
    error = late ? Late() : ParseError(ec, options);
    if (error) co_await Refuse(session, *error, extra);
    co_return false;
  }
  request->body = std::move(parser.get().body());
  if (IsPreflight(*request)) {
    const HttpResponse response = Preflight();
    co_return co_await Answer(session, response, extra,
                              HeadOptions{.keep = parser.get().keep_alive()}, false);
  }
  auto core = std::make_shared<Core>(io);
  cores.insert(core);
  asio::co_spawn(io, Watch(keep, core), asio::detached);
  // The request goes along: its body would else stay in memory until the answer ends.
  asio::post(
      workers, [this, name = Cat(request->method, " ", request->path), request = std::move(request),
                exchange = std::make_shared<Handle>(core)]() mutable {
        try {
          handler(std::move(request), exchange);
        } catch (const std::exception& e) {
          spdlog::error("{}: {}", name, e.what());
          exchange->Send(ErrorResponse({500, "internal error", "internal_error", std::nullopt}));
          exchange->End();
        }
      });
  const bool again = co_await Reply(session, core, parser, extra);
  if (!again) core->ClientGone();
  core->Finish();
  cores.erase(core);
  co_return again;
}

awaitable<void> HttpServer::State::Serve(std::shared_ptr<Session> session) {
  sessions.insert(session);
  ++connections;
  error_code ec;
  session->stream.socket().set_option(tcp::no_delay(true), ec);
  while (!draining) {
    const bool again = co_await Exchange(*session, session);
    session->busy = false;
    if (!again) break;
  }
  session->deadline.cancel();
  session->stream.socket().shutdown(tcp::socket::shutdown_both, ec);
  session->stream.close();
  sessions.erase(session);
  --connections;
  EndIfDrained();
}

awaitable<void> HttpServer::State::Accept() {
  while (acceptor.is_open()) {
    error_code ec;
    tcp::socket socket(io);
    co_await acceptor.async_accept(socket, asio::redirect_error(use_awaitable, ec));
    if (ec == asio::error::operation_aborted || !acceptor.is_open()) co_return;
    if (ec) {  // out of descriptors, most likely: wait until some are free
      asio::steady_timer pause(io, std::chrono::milliseconds(100));
      co_await pause.async_wait(asio::redirect_error(use_awaitable, ec));
      continue;
    }
    if (connections >= options.max_connections) continue;  // closes it
    auto session = std::make_shared<Session>(std::move(socket));
    session->buffer.max_size(options.max_header + (size_t{1} << 20));
    asio::co_spawn(io, Serve(session), asio::detached);
  }
}

void HttpServer::State::Within(const std::shared_ptr<Session>& session,
                               std::chrono::milliseconds time) {
  session->deadline.cancel();
  session->late = false;
  if (time == std::chrono::milliseconds()) return;
  session->deadline.expires_after(time);
  session->deadline.async_wait([weak = std::weak_ptr(session)](const error_code& ec) {
    const auto session = weak.lock();
    if (ec || session == nullptr || session->deadline.expiry() > std::chrono::steady_clock::now())
      return;
    session->late = true;
    session->stream.cancel();
  });
}

void HttpServer::State::BeginDrain() {
  if (draining.exchange(true)) return;
  if (options.on_drain) options.on_drain();
  error_code ec;
  acceptor.close(ec);
  for (const auto& session : sessions) {
    if (!session->busy) session->stream.cancel();
  }
  drain_timer.expires_after(options.drain);
  drain_timer.async_wait([self = shared_from_this()](const error_code& wait) {
    if (wait) return;
    spdlog::warn("{} requests were cut off at the end of the drain time", self->cores.size());
    for (const auto& core : std::set(self->cores)) core->ClientGone();
    for (const auto& session : self->sessions) session->stream.close();
    self->io.stop();
  });
  EndIfDrained();
}

void HttpServer::State::EndIfDrained() {
  if (draining && sessions.empty()) io.stop();
}

HttpServer::HttpServer(HttpOptions options, Handler handler)
    : state_(std::make_shared<State>(std::move(options), std::move(handler))) {}

HttpServer::~HttpServer() {
  state_->workers.join();
}

Result<void> HttpServer::Listen() {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  State& s = *state_;
  error_code ec;
  const std::string& name = s.options.address;
  const auto address = asio::ip::make_address(name == "localhost" ? "127.0.0.1" : name, ec);
  if (ec) return Error{Cat("--host: expected an IP address or localhost but got '", name, "'")};
  const tcp::endpoint endpoint(address, s.options.port);
  s.acceptor.open(endpoint.protocol(), ec);
  if (!ec) s.acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
  if (!ec) s.acceptor.bind(endpoint, ec);
  if (!ec) s.acceptor.listen(asio::socket_base::max_listen_connections, ec);
  if (ec) return Error{Cat(name, ":", s.options.port, ": ", ec.message()), ErrorKind::kIo};
  return Ok();
}

uint16_t HttpServer::port() const {
  error_code ec;
  return state_->acceptor.local_endpoint(ec).port();
}

void HttpServer::Run() {
  State& s = *state_;
  asio::signal_set signals(s.io);
  if (s.options.handle_signals) {
    signals.add(SIGINT);
    signals.add(SIGTERM);
    signals.async_wait([&s](const error_code& ec, int) {
      if (!ec) s.BeginDrain();
    });
  }
  asio::co_spawn(s.io, s.Accept(), asio::detached);
  s.io.run();
  s.workers.join();
}

void HttpServer::Drain() {
  asio::post(state_->io, [state = state_] { state->BeginDrain(); });
}

bool HttpServer::draining() const {
  return state_->draining;
}
int HttpServer::connections() const {
  return state_->connections;
}

}  // namespace facet::serve
