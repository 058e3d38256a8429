#include "serve/openai/router.h"

#include <algorithm>
#include <vector>

#include "serve/handlers.h"
#include "serve/openai/requests.h"

namespace facet::serve {
namespace {

constexpr Route kRoutes[] = {
    {"POST", "/v1/chat/completions", Chat, "The next message of a conversation."},
    {"POST", "/v1/completions", Completions, "How a text goes on."},
    {"POST", "/v1/responses", Responses, "The next message, in the shape of the responses API."},
    {"GET", "/v1/responses/*", GetResponse, "A response that was kept."},
    {"DELETE", "/v1/responses/*", DeleteResponse, "Forgets a response."},
    {"POST", "/v1/embeddings", Embeddings, "Vectors of texts."},
    {"POST", "/v1/audio/transcriptions", Transcriptions, "What is said in a sound."},
    {"POST", "/v1/audio/translations", Translations, "What is said in a sound, in English."},
    {"GET", "/v1/models", ListModels, "The models, and what each can do."},
    {"GET", "/v1/models/*", GetModel, "One model."},
    {"POST", "/tokenize", Tokenize, "Tokens of a text."},
    {"POST", "/detokenize", Detokenize, "The text of tokens."},
    {"POST", "/apply-template", ApplyTemplate, "The prompt that a chat would become."},
    {"GET", "/health", Health, "200 once the first model is in memory; no key needed.", true},
    {"GET", "/metrics", Metrics, "Prometheus text; no key needed.", true},
};

bool Matches(const Route& route, std::string_view path) {
  if (!route.path.ends_with('*')) return path == route.path;
  const std::string_view prefix = route.path.substr(0, route.path.size() - 1);
  return path.starts_with(prefix);
}

// What `path` is answered by; nothing where there is no such path.
std::vector<const Route*> RoutesOf(std::string_view path) {
  std::vector<const Route*> found;
  for (const Route& route : kRoutes) {
    if (Matches(route, path)) found.push_back(&route);
  }
  return found;
}

// A path that is there, asked in a way that it does not know.
HttpResponse WrongMethod(std::string_view path, const std::vector<const Route*>& routes) {
  std::string methods;
  for (const Route* route : routes) methods += Cat(methods.empty() ? "" : ", ", route->method);
  HttpResponse response =
      ErrorResponse({Cat(path, " takes ", methods), ErrorKind::kInvalid, "method_not_allowed"});
  response.headers.emplace_back("Allow", methods);
  return response;
}

bool IsMedium(const OrderedJson& part) {
  if (!part.is_object()) return false;
  const auto type = part.find("type");
  if (type == part.end() || !type->is_string()) return false;
  const auto& name = type->get_ref<const std::string&>();
  return name.find("image") != name.npos || name.find("audio") != name.npos ||
         name.find("video") != name.npos;
}

bool HoldsMedia(const OrderedJson& message) {
  if (!message.is_object()) return false;
  for (const char* parts : {"content", "output"}) {  // of a message, of a tool's result
    const auto list = message.find(parts);
    if (list == message.end() || !list->is_array()) continue;
    if (std::any_of(list->begin(), list->end(), IsMedium)) return true;
  }
  return false;
}

// Whether something has to be fetched or decoded for this call. Looks at parsed content parts only,
// not at what texts say.
bool CarriesMedia(Service& service, const Call& call) {
  if (call.request.Header("content-type").value_or("").starts_with("multipart/")) return true;
  if (!call.body.is_object()) return false;
  const auto previous = call.body.find("previous_response_id");
  if (previous != call.body.end() && previous->is_string() &&
      service.responses.HoldsMedia(call.request.tenant, previous->get<std::string>()))
    return true;
  for (const char* messages : {"messages", "input"}) {
    const auto list = call.body.find(messages);
    if (list == call.body.end() || !list->is_array()) continue;
    if (std::any_of(list->begin(), list->end(), HoldsMedia)) return true;
  }
  return false;
}

}  // namespace

std::span<const Route> Routes() {
  return kRoutes;
}

bool IsQuick(const HttpRequest& request) {
  const auto routes = RoutesOf(request.path);
  return !routes.empty() &&
         std::all_of(routes.begin(), routes.end(), [](const Route* route) { return route->quick; });
}

Result<void> Dispatch(Service& service, HttpRequest incoming, std::shared_ptr<Exchange> exchange) {
  Call call{
      .request = std::move(incoming), .exchange = std::move(exchange), .body = {}, .name = {}};
  HttpRequest& request = call.request;
  const std::string method = request.method == "HEAD" ? "GET" : request.method;
  const auto routes = RoutesOf(request.path);
  if (routes.empty())
    return Error{Cat("there is no ", method, " ", request.path), ErrorKind::kNotFound};
  const auto found = std::find_if(routes.begin(), routes.end(),
                                  [&](const Route* route) { return route->method == method; });
  if (found == routes.end()) {
    call.exchange->Send(WrongMethod(request.path, routes));
    return Ok();
  }
  const Route& route = **found;
  if (route.path.ends_with('*')) call.name = request.path.substr(route.path.size() - 1);
  if (method == "POST" && !request.Header("content-type").value_or("").starts_with("multipart/")) {
    FACET_ASSIGN(call.body, ParseBody(request.body));
    request.body = {};  // pictures are large
  }
  call.has_media = CarriesMedia(service, call);
  if (!call.has_media) return route.handler(service, call);
  auto later = std::make_shared<Call>(std::move(call));
  service.media.Run([&service, &route, later] {
    if (later->exchange->Closed()) return;
    AnswerErrors(*later->exchange, route.path, [&] { return route.handler(service, *later); });
  });
  return Ok();
}

}  // namespace facet::serve
