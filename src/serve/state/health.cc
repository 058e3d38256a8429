// /health: whether the server takes requests.
#include "serve/handlers.h"

namespace facet::serve {

Result<void> Health(Service& service, Call& call) {
  if (!service.draining && service.models.ready()) {
    SendJson(*call.exchange, {{"status", "ok"}});
    return Ok();
  }
  const char* status = service.draining ? "draining" : "loading";
  HttpResponse response{
      .body = ErrorBody({Cat("the server is ", status), ErrorKind::kBusy, status}), .headers = {}};
  response.status = 503;
  // A probe asks again by a plan of its own: no Retry-After.
  call.exchange->Send(std::move(response));
  return Ok();
}

}  // namespace facet::serve
