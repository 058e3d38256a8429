// The whole server: models, what the routes share, HTTP.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "serve/http/server.h"
#include "serve/service.h"

namespace facet::serve {

struct ServerOptions {
  HttpOptions http;
  ModelOptions model;
  MemoryOptions memory;
  ApiLimits limits;
  std::vector<ModelSpec> models;
};

class Server {
 public:
  // Fills in the allow-list of hosts. Errors: a public address without a key, an address that
  // cannot be bound.
  static Result<std::unique_ptr<Server>> Create(ServerOptions options);
  ~Server();

  uint16_t port() const { return http_->port(); }
  ModelPool& models() { return models_; }
  // Loads the first model beside serving. Returns after a drain; an error when that model does not
  // load.
  Result<void> Run();
  void Drain();

 private:
  explicit Server(ServerOptions options);
  ModelPool models_;
  Service service_;
  std::unique_ptr<HttpServer> http_;
};

}  // namespace facet::serve
