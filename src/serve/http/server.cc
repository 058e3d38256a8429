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
#include <boost/beast/core/buffers_suffix.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/chunk_encode.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <cstdlib>
#include <ctime>
#include <set>
#include <thread>

#include "base/clock.h"
#include "base/log.h"
#include "base/os/os.h"
#include "base/text.h"
#include "serve/http/body_memory.h"
#include "serve/http/connection_exchange.h"

// GCC 12 takes the coroutine frames of Asio for a mismatch of new and delete.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

namespace facet::serve {

// How an answer travels.
struct Framing {
  bool keep_alive = true;  // the connection, for the next request
  bool stream = false, chunked = false;
};

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;
using boost::system::error_code;

using Parser = http::request_parser<http::string_body>;

Error TooLate() {
  return {"the request did not arrive in time", ErrorKind::kTimeout};
}

Error BodyTooLarge(const HttpOptions& options) {
  return {Cat("the body is longer than ", options.max_body, " bytes"), ErrorKind::kTooLarge,
          "body_too_large"};
}

// What to tell a client whose request could not be read; nothing where it has gone.
std::optional<Error> ReadError(const error_code& ec, const HttpOptions& options) {
  if (ec == http::error::end_of_stream || ec == http::error::partial_message ||
      ec == asio::error::operation_aborted || ec == asio::error::eof ||
      ec == asio::error::connection_reset)
    return std::nullopt;
  if (ec == http::error::header_limit) {
    return Error{Cat("headers are longer than ", options.max_header, " bytes"),
                 ErrorKind::kTooLarge, "headers_too_large"};
  }
  if (ec == http::error::body_limit) return BodyTooLarge(options);
  return Error{Cat("malformed HTTP request: ", ec.message()), ErrorKind::kInvalid, "bad_request"};
}

// RFC 9112, 6.1 and 6.3: a message that leaves open where its body ends could hide a second request
// in it from whoever stands before this server.
Result<void> CheckFraming(const Parser& parser) {
  const auto& message = parser.get();
  const auto codings = message.equal_range(http::field::transfer_encoding);
  const auto lengths = message.equal_range(http::field::content_length);
  const auto coding_count = std::distance(codings.first, codings.second);
  const auto length_count = std::distance(lengths.first, lengths.second);
  const auto refuse = [](const char* what) {
    return Error{what, ErrorKind::kInvalid, "bad_request"};
  };
  if (length_count > 1) return refuse("expected one Content-Length");
  // A list of equal lengths is one to some readers and an error to others.
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (length_count == 1 && !std::ranges::all_of(lengths.first->value(), is_digit))
    return refuse("Content-Length: expected one number");
  if (coding_count == 0) return Ok();
  if (length_count > 0) return refuse("expected Transfer-Encoding or Content-Length, not both");
  if (message.version() < 11) return refuse("HTTP/1.0 has no Transfer-Encoding");
  if (coding_count > 1 || !beast::iequals(codings.first->value(), "chunked"))
    return refuse("Transfer-Encoding: expected chunked alone");
  return Ok();
}

const char* StreamType(StreamForm form) {
  switch (form) {
    case StreamForm::kEvents:
    case StreamForm::kQuietEvents:
      return "text/event-stream";
    case StreamForm::kLines:
      return "application/x-ndjson";
    case StreamForm::kJson:
      break;
  }
  return "application/json";
}

std::string HttpDate() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[64];
  std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return text;
}

// Status line and headers. `extra` follows the answer's own.
http::response_header<> ResponseHead(const HttpResponse& response, const Headers& extra,
                                     Framing framing) {
  http::response_header<> head;
  head.version(11);
  head.result(static_cast<unsigned>(response.status));
  head.set(http::field::date, HttpDate());
  head.set("X-Content-Type-Options", "nosniff");
  if (response.status != 204) head.set(http::field::content_type, response.content_type);
  if (framing.stream) {
    head.set(http::field::cache_control, "no-cache");
    head.set("X-Accel-Buffering", "no");
    if (framing.chunked) head.set(http::field::transfer_encoding, "chunked");
  } else if (response.status != 204) {
    head.set(http::field::cache_control, "no-store");
    head.set(http::field::content_length, std::to_string(response.body.size()));
  }
  head.set(http::field::connection, framing.keep_alive ? "keep-alive" : "close");
  for (const Headers* headers : {&response.headers, &extra}) {
    for (const auto& [name, value] : *headers) head.insert(name, value);
  }
  return head;
}

}  // namespace

// One client connection.
struct Session {
  explicit Session(tcp::socket socket)
      : stream(std::move(socket)), deadline(stream.get_executor()) {}
  int fd() { return stream.socket().native_handle(); }

  beast::tcp_stream stream;
  beast::flat_buffer buffer;
  asio::ip::address address;
  Clock::time_point waiting_since = Clock::now();
  bool waiting = true;  // it shows no complete head of a request
  bool busy = false;    // inside an exchange
  bool late = false;    // its time to send a request is over
  asio::steady_timer deadline;
};

using SessionPtr = std::shared_ptr<Session>;
using ExchangePtr = std::shared_ptr<ConnectionExchange>;

// One request of a connection and what its answer depends on.
struct Incoming {
  HttpRequest request;
  Headers extra;  // of whatever answer it gets
  ErrorWriter write_error = &ErrorResponse;
  bool http11 = true, head_only = false, keep_alive = true;
};

struct HttpServer::State : std::enable_shared_from_this<State> {
  HttpOptions options;
  HttpHandler handler;
  asio::io_context io{1};
  tcp::acceptor acceptor{io};
  asio::thread_pool workers, quick_worker{1};
  const std::shared_ptr<BodyMemory> bodies =
      std::make_shared<BodyMemory>(std::max(options.max_bodies, 2 * options.max_body));
  asio::steady_timer drain_timer{io};
  std::set<SessionPtr> sessions;    // io thread only
  std::set<ExchangePtr> exchanges;  // io thread only
  std::atomic<bool> draining{false};
  std::atomic<int> connections{0};

  State(HttpOptions o, HttpHandler h)
      : options(std::move(o)), handler(std::move(h)), workers(options.workers) {}

  awaitable<void> Accept();
  // Closes a connection that shows no request where one more of this address would be too many.
  // False: there is no room for it.
  bool MakeRoom(const asio::ip::address& address);
  // One request after the other, until either side closes.
  awaitable<void> Serve(SessionPtr session);

  // True once the first byte of a request is there.
  awaitable<bool> AwaitRequest(SessionPtr session);
  // Nothing: the request was refused, or the client has gone.
  awaitable<std::optional<Incoming>> ReadRequest(SessionPtr session);
  awaitable<bool> ReadHeader(SessionPtr session, Parser& parser, Incoming& in);
  awaitable<bool> ReadBody(SessionPtr session, Parser& parser, Incoming& in);
  // Nothing: it is complete, or `ec` says why not. An error: all bodies together are too large.
  awaitable<Result<void>> TakeBody(SessionPtr session, Parser& parser, Incoming& in,
                                   error_code& ec);
  // Answers in place of a request that is not read to its end.
  awaitable<void> Refuse(SessionPtr session, HttpResponse answer, Headers extra);

  // True: the connection takes another request.
  awaitable<bool> Respond(SessionPtr session, Incoming in);
  void Handle(HttpRequest request, const ExchangePtr& exchange);
  awaitable<bool> Reply(SessionPtr session, ExchangePtr exchange, const Incoming& in);
  awaitable<bool> SendWhole(SessionPtr session, HttpResponse response, const Incoming& in,
                            bool keep_alive);
  awaitable<bool> SendStream(SessionPtr session, ExchangePtr exchange, const Headers& extra,
                             Framing framing);
  awaitable<bool> SendEvents(SessionPtr session, std::string bytes, bool chunked);
  awaitable<void> WatchForClose(SessionPtr session, ExchangePtr exchange);

  // False: the client has gone, or took nothing within the write timeout, which is for progress and
  // not for the whole.
  template <class Serializer>
  awaitable<bool> WriteMessage(SessionPtr session, Serializer& serializer);
  template <class Buffers>
  awaitable<bool> WriteAll(SessionPtr session, Buffers buffers);

  // Cancels the session's reading then, unless it is called again before. Zero: no limit.
  void SetDeadline(const SessionPtr& session, std::chrono::milliseconds time);
  void WaitForSignal(asio::signal_set& signals);
  void BeginDrain();
  void EndIfDrained();
};

namespace {

Result<HttpRequest> ReadHead(const Parser& parser) {
  HttpRequest request;
  const auto& message = parser.get();
  request.method = std::string(message.method_string());
  for (const auto& field : message) {
    const auto name = field.name_string(), value = field.value();
    request.headers.emplace_back(ToLower({name.data(), name.size()}), std::string(value));
  }
  const std::string_view target(message.target().data(), message.target().size());
  const size_t question = target.find('?');
  if (question != std::string_view::npos) request.query = target.substr(question + 1);
  auto path = PercentDecode(target.substr(0, question));
  if (!target.starts_with('/') || !path) {
    return Error{"expected a request target that begins with '/'", ErrorKind::kInvalid,
                 "bad_target"};
  }
  request.path = *std::move(path);
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

// --- writing

template <class Serializer>
awaitable<bool> HttpServer::State::WriteMessage(SessionPtr session, Serializer& serializer) {
  // Of a split message the header alone.
  while (serializer.split() ? !serializer.is_header_done() : !serializer.is_done()) {
    error_code ec;
    session->stream.expires_after(options.write_timeout);
    co_await http::async_write_some(session->stream, serializer,
                                    asio::redirect_error(use_awaitable, ec));
    if (ec) co_return false;
  }
  session->stream.expires_never();
  co_return true;
}

template <class Buffers>
awaitable<bool> HttpServer::State::WriteAll(SessionPtr session, Buffers buffers) {
  beast::buffers_suffix<Buffers> left(buffers);
  while (beast::buffer_bytes(left) > 0) {
    error_code ec;
    session->stream.expires_after(options.write_timeout);
    const size_t n =
        co_await session->stream.async_write_some(left, asio::redirect_error(use_awaitable, ec));
    if (ec) co_return false;
    left.consume(n);
  }
  session->stream.expires_never();
  co_return true;
}

awaitable<bool> HttpServer::State::SendWhole(SessionPtr session, HttpResponse response,
                                             const Incoming& in, bool keep_alive) {
  auto head = ResponseHead(response, in.extra, Framing{.keep_alive = keep_alive});
  http::response<http::string_body> message(std::move(head), std::move(response.body));
  http::response_serializer<http::string_body> serializer(message);
  serializer.split(in.head_only);
  const bool sent = co_await WriteMessage(session, serializer);
  co_return sent&& keep_alive;
}

// Reads on for a moment so that the client sees the answer and not a reset.
awaitable<void> HttpServer::State::Refuse(SessionPtr session, HttpResponse answer, Headers extra) {
  const Incoming in{.request = {}, .extra = std::move(extra)};
  co_await SendWhole(session, std::move(answer), in, false);
  error_code ec;
  session->stream.socket().shutdown(tcp::socket::shutdown_send, ec);
  session->stream.expires_after(std::chrono::seconds(1));
  std::vector<char> sink(64 << 10);
  for (size_t total = 0; total < size_t{64} << 20 && !ec;) {
    total += co_await session->stream.async_read_some(asio::buffer(sink),
                                                      asio::redirect_error(use_awaitable, ec));
  }
}

awaitable<bool> HttpServer::State::SendEvents(SessionPtr session, std::string bytes, bool chunked) {
  const asio::const_buffer buffer(bytes.data(), bytes.size());
  if (chunked) co_return co_await WriteAll(session, http::make_chunk(buffer));
  co_return co_await WriteAll(session, buffer);
}

awaitable<bool> HttpServer::State::SendStream(SessionPtr session, ExchangePtr exchange,
                                              const Headers& extra, Framing framing) {
  const StreamForm form = exchange->form();
  const HttpResponse response{
      .content_type = StreamType(form), .body = {}, .headers = exchange->TakeHeaders()};
  http::response<http::empty_body> head(ResponseHead(response, extra, framing));
  http::response_serializer<http::empty_body> serializer(head);
  serializer.split(true);
  bool open = co_await WriteMessage(session, serializer);
  while (open) {
    ConnectionExchange::Outgoing out = exchange->TakeOutgoing();
    if (out.closed) co_return false;
    if (!out.bytes.empty()) {
      open = co_await SendEvents(session, std::move(out.bytes), framing.chunked);
      exchange->SentOutgoing();
      continue;
    }
    if (out.ended) break;
    const Clock::time_point begin = Clock::now();
    co_await exchange->Wait(options.keepalive);
    if (Clock::now() - begin < options.keepalive) continue;
    if (PeerHasClosed(session->fd())) co_return false;
    // Only events have room for a comment.
    if (form != StreamForm::kEvents) continue;
    open = co_await SendEvents(session, Cat(": ", exchange->Comment(), "\n\n"), framing.chunked);
  }
  if (open && framing.chunked) open = co_await WriteAll(session, http::make_chunk_last());
  co_return open&& framing.keep_alive;
}

// --- one request

awaitable<bool> HttpServer::State::AwaitRequest(SessionPtr session) {
  session->waiting = true;
  session->waiting_since = Clock::now();
  if (session->buffer.size() > 0) co_return true;
  SetDeadline(session, options.idle_timeout);
  error_code ec;
  const size_t n = co_await session->stream.async_read_some(
      session->buffer.prepare(4096), asio::redirect_error(use_awaitable, ec));
  if (ec) co_return false;
  session->buffer.commit(n);
  co_return true;
}

// False: it was refused, or the client has gone.
awaitable<bool> HttpServer::State::ReadHeader(SessionPtr session, Parser& parser, Incoming& in) {
  parser.header_limit(options.max_header);
  parser.body_limit(options.max_body);
  SetDeadline(session, options.header_timeout);
  error_code ec;
  co_await http::async_read_header(session->stream, session->buffer, parser,
                                   asio::redirect_error(use_awaitable, ec));
  // As far as it came: whoever announces too long a body has said where it should go.
  Result<HttpRequest> head = ReadHead(parser);
  if (head) in.write_error = options.error_writer(*head);
  if (ec) {
    const auto error = session->late ? TooLate() : ReadError(ec, options);
    if (error) co_await Refuse(session, in.write_error(*error), Headers());
    co_return false;
  }
  session->waiting = false;
  Result<void> allowed = head ? CheckFraming(parser) : head.error();
  if (allowed) allowed = CheckAccess(options.access, *head, in.extra);
  if (allowed && parser.content_length() && *parser.content_length() > options.max_body)
    allowed = BodyTooLarge(options);
  if (!allowed) {
    co_await Refuse(session, in.write_error(allowed.error()), in.extra);
    co_return false;
  }
  in.request = *std::move(head);
  in.http11 = parser.get().version() >= 11;
  in.head_only = parser.get().method() == http::verb::head;
  in.keep_alive = parser.get().keep_alive();
  co_return true;
}

awaitable<Result<void>> HttpServer::State::TakeBody(SessionPtr session, Parser& parser,
                                                    Incoming& in, error_code& ec) {
  const auto lease = std::make_shared<BodyLease>(bodies);
  in.request.hold = lease;
  parser.eager(true);
  while (!parser.is_done()) {
    co_await http::async_read_some(session->stream, session->buffer, parser,
                                   asio::redirect_error(use_awaitable, ec));
    if (ec) co_return Ok();
    if (!lease->GrowTo(parser.get().body().size())) {
      co_return Error{"the server is reading as much from others as it may hold", ErrorKind::kBusy};
    }
  }
  co_return Ok();
}

awaitable<bool> HttpServer::State::ReadBody(SessionPtr session, Parser& parser, Incoming& in) {
  if (in.request.Header("expect") == "100-continue") {
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    const asio::const_buffer buffer(kContinue.data(), kContinue.size());
    if (!co_await WriteAll(session, buffer)) co_return false;
  }
  SetDeadline(session, options.body_timeout);
  error_code ec;
  const Result<void> taken = co_await TakeBody(session, parser, in, ec);
  const bool late = session->late;
  SetDeadline(session, {});
  if (ec || !taken) {
    const auto error = !taken ? taken.error() : late ? TooLate() : ReadError(ec, options);
    std::string().swap(parser.get().body());  // assigning an empty one would keep its memory
    in.request.hold.reset();
    if (error) co_await Refuse(session, in.write_error(*error), in.extra);
    co_return false;
  }
  in.request.body = std::move(parser.get().body());
  co_return true;
}

awaitable<std::optional<Incoming>> HttpServer::State::ReadRequest(SessionPtr session) {
  Parser parser;
  Incoming in;
  if (!co_await ReadHeader(session, parser, in)) co_return std::nullopt;
  if (!co_await ReadBody(session, parser, in)) co_return std::nullopt;
  co_return std::optional<Incoming>(std::move(in));
}

void HttpServer::State::Handle(HttpRequest request, const ExchangePtr& exchange) {
  auto answer = exchange->ForHandlers();
  auto& threads = options.quick(request) ? quick_worker : workers;
  asio::post(threads, [this, request = std::move(request), answer = std::move(answer)]() mutable {
    const std::string name = Cat(request.method, " ", request.path);
    AnswerErrors(*answer, name, [&] { return handler(std::move(request), answer); });
  });
}

awaitable<bool> HttpServer::State::Respond(SessionPtr session, Incoming in) {
  if (IsPreflight(in.request))
    co_return co_await SendWhole(session, Preflight(), in, in.keep_alive);
  const auto exchange = std::make_shared<ConnectionExchange>(io, in.write_error);
  exchanges.insert(exchange);
  asio::co_spawn(io, WatchForClose(session, exchange), asio::detached);
  // The request goes along: its body would else stay in memory until the answer ends.
  Handle(std::move(in.request), exchange);
  const bool again = co_await Reply(session, exchange, in);
  if (!again) exchange->ClientGone();
  exchange->Finish();
  exchanges.erase(exchange);
  co_return again;
}

awaitable<bool> HttpServer::State::Reply(SessionPtr session, ExchangePtr exchange,
                                         const Incoming& in) {
  using Mode = ConnectionExchange::Mode;
  for (;;) {
    if (exchange->Closed()) co_return false;
    const Mode mode = exchange->mode();
    const bool keep_alive = in.keep_alive && !draining;
    if (mode == Mode::kWhole)
      co_return co_await SendWhole(session, exchange->TakeResponse(), in, keep_alive);
    if (mode == Mode::kStream) {
      const Framing framing{
          .keep_alive = keep_alive && in.http11, .stream = true, .chunked = in.http11};
      co_return co_await SendStream(session, exchange, in.extra, framing);
    }
    co_await exchange->Wait(std::chrono::seconds(1));
    if (PeerHasClosed(session->fd())) co_return false;
  }
}

awaitable<void> HttpServer::State::WatchForClose(SessionPtr session, ExchangePtr exchange) {
  error_code ec;
  auto& socket = session->stream.socket();
  co_await socket.async_wait(tcp::socket::wait_read, asio::redirect_error(use_awaitable, ec));
  if (ec || !socket.is_open()) {
    exchange->ClientGone();
    co_return;
  }
  char byte;
  const ssize_t n = recv(session->fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)) exchange->ClientGone();
}

// --- connections

awaitable<void> HttpServer::State::Serve(SessionPtr session) {
  sessions.insert(session);
  ++connections;
  error_code ec;
  session->stream.socket().set_option(tcp::no_delay(true), ec);
  while (!draining) {
    if (!co_await AwaitRequest(session)) break;
    session->busy = true;
    auto in = co_await ReadRequest(session);
    const bool again = in && co_await Respond(session, *std::move(in));
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
    const tcp::endpoint peer = socket.remote_endpoint(ec);
    if (ec || !MakeRoom(peer.address())) continue;  // closes it
    auto session = std::make_shared<Session>(std::move(socket));
    session->address = peer.address();
    session->buffer.max_size(options.max_header + (size_t{1} << 20));
    asio::co_spawn(io, Serve(session), asio::detached);
  }
}

bool HttpServer::State::MakeRoom(const asio::ip::address& address) {
  SessionPtr of_address, of_all;  // those that have waited longest
  int waiting = 0;
  for (const SessionPtr& session : sessions) {
    if (!session->waiting) continue;
    const auto older = [&](const SessionPtr& other) {
      return other == nullptr || session->waiting_since < other->waiting_since;
    };
    if (older(of_all)) of_all = session;
    if (session->address != address) continue;
    ++waiting;
    if (older(of_address)) of_address = session;
  }
  const bool full = connections >= options.max_connections;
  const SessionPtr oldest = waiting >= options.max_waiting_per_address ? of_address
                            : full                                     ? of_all
                                                                       : nullptr;
  if (oldest == nullptr) return !full;
  oldest->waiting = false;
  oldest->stream.cancel();
  return true;
}

void HttpServer::State::SetDeadline(const SessionPtr& session, std::chrono::milliseconds time) {
  session->deadline.cancel();
  session->late = false;
  if (time == std::chrono::milliseconds()) return;
  session->deadline.expires_after(time);
  session->deadline.async_wait([weak = std::weak_ptr(session)](const error_code& ec) {
    const auto session = weak.lock();
    if (ec || session == nullptr || session->deadline.expiry() > Clock::now()) return;
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
    spdlog::warn("{} requests were cut off at the end of the drain time", self->exchanges.size());
    for (const auto& exchange : std::set(self->exchanges)) exchange->ClientGone();
    for (const auto& session : self->sessions) session->stream.close();
    self->io.stop();
  });
  EndIfDrained();
}

void HttpServer::State::EndIfDrained() {
  if (draining && sessions.empty()) io.stop();
}

HttpServer::HttpServer(HttpOptions options, HttpHandler handler)
    : state_(std::make_shared<State>(std::move(options), std::move(handler))) {}

HttpServer::~HttpServer() {
  state_->workers.join();
  state_->quick_worker.join();
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
  if (ec) {
    const bool taken = ec == asio::error::address_in_use;
    return Error{
        Cat(name, ":", s.options.port, ": ", ec.message(),
            taken ? "; facet ps lists the servers that run, and --port chooses another port" : ""),
        ErrorKind::kIo};
  }
  return Ok();
}

uint16_t HttpServer::port() const {
  error_code ec;
  return state_->acceptor.local_endpoint(ec).port();
}

namespace {

// Threads cannot be stopped from outside, and a program that was told to end must end. What it
// writes to disk is written aside and renamed, so nothing is damaged.
void EndProgramAfter(std::chrono::milliseconds time) {
  std::thread([time] {
    std::this_thread::sleep_for(time);
    spdlog::warn("work that did not end in time was cut off");
    std::_Exit(1);
  }).detach();
}

}  // namespace

void HttpServer::State::WaitForSignal(asio::signal_set& signals) {
  signals.async_wait([this, &signals](const error_code& ec, int number) {
    if (ec) return;
    if (draining) std::_Exit(128 + number);
    BeginDrain();
    EndProgramAfter(options.drain + options.last_work);
    WaitForSignal(signals);
  });
}

void HttpServer::Run() {
  State& s = *state_;
  asio::signal_set signals(s.io);
  if (s.options.handle_signals) {
    signals.add(SIGINT);
    signals.add(SIGTERM);
    s.WaitForSignal(signals);
  }
  asio::co_spawn(s.io, s.Accept(), asio::detached);
  s.io.run();
  s.workers.join();
  s.quick_worker.join();
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
