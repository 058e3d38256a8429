#include "serve/server.h"

#include <thread>

#include "serve/router.h"

namespace facet::serve {

Result<std::unique_ptr<Server>> Server::Create(ServerOptions options) {
  if (options.models.empty()) return Error{"no model to serve"};
  AccessRules& access = options.http.access;
  const std::string& address = options.http.address;
  if (IsLoopback(address)) {
    access.hosts.insert(access.hosts.end(), {"localhost", "127.0.0.1", "::1"});
    if (address != "localhost") access.hosts.push_back(address);
  } else if (access.keys.empty()) {
    return Error{Cat("--host ", address,
                     " is reachable by others: give --api-key or --api-key-file as well")};
  } else if (!access.hosts.empty()) {
    access.hosts.push_back(address);
  }
  FACET_TRY(Prepare(options.limits.media));
  std::unique_ptr<Server> server(new Server(std::move(options)));
  FACET_TRY(server->http_->Listen());
  return server;
}

Server::Server(ServerOptions options)
    : models_(std::move(options.models), std::move(options.model), options.memory),
      service_(models_, options.limits) {
  options.http.error_writer = ErrorWriterFor;
  options.http.on_drain = [this] { service_.draining = true; };
  options.http.quick = IsQuick;
  http_ =
      std::make_unique<HttpServer>(std::move(options.http), [this](auto request, auto exchange) {
        return Dispatch(service_, std::move(request), std::move(exchange));
      });
}

// Engines go first: their listeners hold exchanges of the HTTP server.
Server::~Server() {
  models_.Clear();
  service_.media.Finish();
  service_.constraints.Finish();
}

Result<void> Server::Run() {
  Result<void> loaded = Ok();
  std::thread loader([&] {
    const auto model = models_.Get(models_.default_id());
    if (model) return models_.MeasureAll();
    loaded = model.error();
    http_->Drain();
  });
  http_->Run();
  loader.join();
  models_.Clear();
  return loaded;
}

void Server::Drain() {
  http_->Drain();
}

}  // namespace facet::serve
