// What the routes see of HTTP: a request, an answer, and the exchange that carries it. Nothing here
// knows sockets.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace facet::serve {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;
  std::string path;   // percent-decoded, without the query
  std::string query;  // as it came
  Headers headers;    // names in lower case
  std::string body;
  std::string tenant;  // which API key was shown, as a digest; empty where the server asks for none
  std::shared_ptr<void> hold;  // what the body counts against, until the request goes

  // The first header of that (lower case) name.
  std::optional<std::string_view> Header(std::string_view name) const;
  size_t CountHeaders(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  Headers headers;
};

// Where an error becomes an answer: its kind chooses the status and, where it has none of its own,
// the code. {"error": {"message", "type", "param", "code"}}, as the OpenAI API has it.
int StatusOf(const Error& error);
std::string CodeOf(const Error& error);
std::string ErrorBody(const Error& error);
HttpResponse ErrorResponse(const Error& error);
// ErrorResponse, or one that takes its status and writes the body as another API has it.
using ErrorWriter = HttpResponse (*)(const Error&);

// How the parts of a streamed answer stand in its body.
enum class StreamForm {
  kEvents,       // server-sent events; comments keep the connection open
  kQuietEvents,  // the same without comments, for clients that take them for data
  kLines,        // a JSON text a line
  kJson,         // one JSON text, in pieces
};

// One request's way back to its client. Safe from any thread; what comes after the client has gone
// is dropped.
class Exchange {
 public:
  virtual ~Exchange() = default;

  // A header of whatever answer this will be; before Send or BeginStream.
  virtual void AddHeader(std::string name, std::string value) = 0;

  // A complete answer. Of Send and BeginStream the first call counts.
  virtual void Send(HttpResponse response) = 0;

  // The same with an error, in the shape of the API that was asked.
  virtual void SendError(const Error& error) { Send(ErrorResponse(error)); }

  // 200 with a body that is still being written: the headers go out now.
  virtual void BeginStream(StreamForm form = StreamForm::kEvents) = 0;
  virtual void Write(std::string bytes) = 0;
  virtual void End() = 0;
  // Text of the comment that keeps an idle stream alive.
  virtual void SetComment(std::string text) = 0;

  // Bytes that the client has not taken yet. What writes them pauses at kMaxPending.
  virtual size_t Pending() const = 0;
  static constexpr size_t kMaxPending = 256 << 10;
  virtual bool Closed() const = 0;
  // Calls `gone` once when the client leaves before the end; at once where it has left already.
  virtual void OnClose(std::function<void()> gone) = 0;
};

// Runs what answers an exchange. Where it fails or throws, the client gets the error; `what` names
// the work in the log.
void AnswerErrors(Exchange& exchange, std::string_view what,
                  const std::function<Result<void>()>& work);

// Answers, now or later; where it returns an error, that is the answer.
using HttpHandler = std::function<Result<void>(HttpRequest, std::shared_ptr<Exchange>)>;

// "data: {...}\n\n", with an event name where there is one.
std::string ServerSentEvent(std::string_view data, std::string_view event = {});

// The decoded value of NAME=VALUE in a query; nothing where it is not there or cannot be decoded.
std::optional<std::string> QueryValue(std::string_view query, std::string_view name);

// Decodes %XX; nothing where a sequence is broken or the result holds a NUL.
std::optional<std::string> PercentDecode(std::string_view text);

}  // namespace facet::serve
