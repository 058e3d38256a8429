// One exchange between a handler and its connection: any thread writes, the connection's coroutine
// takes and sends. For server.cc alone.
#pragma once

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include "serve/http/http.h"

// GCC 12 takes the coroutine frames of Asio for a mismatch of new and delete.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

namespace facet::serve {

class ConnectionExchange : public Exchange,
                           public std::enable_shared_from_this<ConnectionExchange> {
 public:
  ConnectionExchange(boost::asio::io_context& io, ErrorWriter write_error)
      : io_(io), wake_(io), write_error_(write_error) {}

  // What handlers hold: when the last of them lets go of it, the client gets an error unless there
  // was an answer.
  std::shared_ptr<Exchange> ForHandlers() {
    return {this, [self = shared_from_this()](Exchange*) { self->AnswerIfNobodyDid(); }};
  }

  // --- handler side, any thread ---
  void AddHeader(std::string name, std::string value) override {
    const std::lock_guard lock(mutex_);
    if (mode_ == Mode::kWaiting) headers_.emplace_back(std::move(name), std::move(value));
  }
  void Send(HttpResponse response) override {
    const std::lock_guard lock(mutex_);
    if (mode_ != Mode::kWaiting) return;
    mode_ = Mode::kWhole;
    response_ = std::move(response);
    for (auto& header : headers_) response_.headers.push_back(std::move(header));
    ended_ = true;
    Wake();
  }
  void SendError(const Error& error) override { Send(write_error_(error)); }
  void BeginStream(StreamForm form) override {
    const std::lock_guard lock(mutex_);
    if (mode_ != Mode::kWaiting) return;
    mode_ = Mode::kStream;
    form_ = form;
    Wake();
  }
  void Write(std::string bytes) override {
    const std::lock_guard lock(mutex_);
    if (mode_ != Mode::kStream || ended_ || closed_) return;
    outgoing_ += bytes;
    Wake();
  }
  void End() override {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    Wake();
  }
  void SetComment(std::string text) override {
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
    const std::lock_guard lock(mutex_);
    comment_ = std::move(text);
  }
  size_t Pending() const override {
    const std::lock_guard lock(mutex_);
    return outgoing_.size() + in_flight_;
  }
  bool Closed() const override {
    const std::lock_guard lock(mutex_);
    return closed_;
  }
  void OnClose(std::function<void()> gone) override {
    {
      const std::lock_guard lock(mutex_);
      if (!closed_) {
        gone_ = std::move(gone);
        return;
      }
    }
    gone();
  }

  // --- connection side, io thread ---
  void ClientGone() {
    std::function<void()> gone;
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || (ended_ && outgoing_.empty())) return;
      closed_ = true;
      outgoing_.clear();
      gone = std::move(gone_);
      Wake();
    }
    if (gone) gone();
  }
  // Nothing will be sent any more: forgets the callback, which may hold what holds this.
  void Finish() {
    std::function<void()> gone;
    const std::lock_guard lock(mutex_);
    ended_ = true;
    gone.swap(gone_);
  }

  enum class Mode { kWaiting, kWhole, kStream };
  struct Outgoing {
    bool ended = false, closed = false;
    std::string bytes;
  };
  Mode mode() const {
    const std::lock_guard lock(mutex_);
    return mode_;
  }
  StreamForm form() const {
    const std::lock_guard lock(mutex_);
    return form_;
  }
  // What there is to send now.
  Outgoing TakeOutgoing() {
    const std::lock_guard lock(mutex_);
    Outgoing out{ended_, closed_, {}};
    out.bytes.swap(outgoing_);
    in_flight_ = out.bytes.size();
    return out;
  }
  void SentOutgoing() {
    const std::lock_guard lock(mutex_);
    in_flight_ = 0;
  }
  HttpResponse TakeResponse() {
    const std::lock_guard lock(mutex_);
    return std::move(response_);
  }
  // Of a stream.
  Headers TakeHeaders() {
    const std::lock_guard lock(mutex_);
    return std::move(headers_);
  }
  std::string Comment() const {
    const std::lock_guard lock(mutex_);
    return comment_.empty() ? "keepalive" : "keepalive " + comment_;
  }
  // Until something has been written, or the time is over.
  boost::asio::awaitable<void> Wait(std::chrono::milliseconds time) {
    {
      const std::lock_guard lock(mutex_);
      const bool idle = mode_ == waited_mode_ && !ended_ && !closed_ && outgoing_.empty();
      waited_mode_ = mode_;
      if (!idle) co_return;
      waiting_ = true;
    }
    boost::system::error_code ec;
    wake_.expires_after(time);
    co_await wake_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ec));
    const std::lock_guard lock(mutex_);
    waiting_ = false;
  }

 private:
  void AnswerIfNobodyDid() {
    SendError({"the request ended without an answer", ErrorKind::kInternal});
    End();
  }
  // With the mutex held. The post runs after the coroutine has begun to wait: both are on the io
  // thread.
  void Wake() {
    if (!waiting_) return;
    waiting_ = false;
    boost::asio::post(io_, [self = shared_from_this()] { self->wake_.cancel(); });
  }

  boost::asio::io_context& io_;
  boost::asio::steady_timer wake_;
  const ErrorWriter write_error_;
  mutable std::mutex mutex_;
  Mode mode_ = Mode::kWaiting, waited_mode_ = Mode::kWaiting;
  StreamForm form_ = StreamForm::kEvents;
  bool ended_ = false, closed_ = false, waiting_ = false;
  HttpResponse response_;
  Headers headers_;  // of the answer, whichever it will be
  std::string outgoing_, comment_;
  size_t in_flight_ = 0;
  std::function<void()> gone_;
};

}  // namespace facet::serve
