// From a request's method and path to what answers it.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "serve/service.h"

namespace facet::serve {

// Answers a call now, or later through its exchange. An error goes to the client.
using Handler = Result<void> (*)(Service&, Call&);

struct Route {
  std::string_view method;
  std::string_view path;  // a * at its end stands for the rest
  Handler handler;
  std::string_view about;
  bool quick = false;  // answered at once by a thread that no other route can take
};

// How the API that a request is of writes its errors.
ErrorWriter ErrorWriterFor(const HttpRequest& request);

// All of them; routes of one path stand together.
std::span<const Route> Routes();

// Whether all routes of the request's path are quick.
bool IsQuick(const HttpRequest& request);

// Finds the route, parses the body, and calls the handler: on a thread for media where the request
// carries some, so that the calling thread is not kept long. What fails at once is returned, what
// fails later goes to the client.
Result<void> Dispatch(Service& service, HttpRequest request, std::shared_ptr<Exchange> exchange);

}  // namespace facet::serve
