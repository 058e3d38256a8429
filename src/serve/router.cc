#include "serve/router.h"

#include <algorithm>
#include <vector>

#include "serve/anthropic/messages.h"
#include "serve/gemini/gemini.h"
#include "serve/handlers.h"
#include "serve/ollama/ollama.h"
#include "serve/openai/requests.h"

namespace facet::serve {
namespace {

constexpr Route kRoutes[] = {
    {"POST", "/v1/chat/completions", Chat, "The next message of a conversation."},
    {"POST", "/v1/completions", Completions, "How a text goes on."},
    {"POST", "/v1/responses", Responses, "The next message, in the shape of the responses API."},
    {"POST", "/v1/responses/input_tokens", CountInputTokens,
     "How many tokens such a request reads."},
    {"GET", "/v1/responses/*", GetResponse,
     "A response that was kept; with `/input_items` behind its id, what it was asked."},
    {"DELETE", "/v1/responses/*", DeleteResponse, "Forgets a response."},
    {"POST", "/v1/conversations", CreateConversation,
     "A conversation for `conversation` of responses."},
    {"GET", "/v1/conversations/*", GetConversation,
     "A conversation; with `/items` behind its id, its items, or with `/items/ID` one."},
    {"POST", "/v1/conversations/*", ChangeConversation,
     "Its `metadata` anew; with `/items`, adds items."},
    {"DELETE", "/v1/conversations/*", DeleteConversation,
     "Forgets a conversation; with `/items/ID`, an item of it."},
    {"POST", "/v1/embeddings", Embeddings, "Vectors of texts."},
    {"POST", "/v1/audio/transcriptions", Transcriptions, "What is said in a sound."},
    {"POST", "/v1/audio/translations", Translations, "What is said in a sound, in English."},
    {"GET", "/v1/models", ListModels, "The models, and what each can do."},
    {"GET", "/v1/models/*", GetModel, "One model."},
    {"POST", "/v1/models/*", Gemini, "As `/v1beta/models/*`."},
    {"POST", "/tokenize", Tokenize, "Tokens of a text."},
    {"GET", "/tokenizer_info", TokenizerInfo,
     "The vocabulary's special tokens and the chat template."},
    {"POST", "/detokenize", Detokenize, "The text of tokens."},
    {"POST", "/apply-template", ApplyTemplate, "The prompt that a chat would become."},
    {"POST", "/v1/messages", Messages, "The next message, as Anthropic's API has it."},
    {"POST", "/v1/messages/count_tokens", CountMessageTokens,
     "Tokens of the prompt that a request for a message would become."},
    {"POST", "/api/chat", OllamaChat, "The next message, as Ollama's API has it."},
    {"POST", "/api/generate", OllamaGenerate, "The answer to a text."},
    {"POST", "/api/embed", OllamaEmbed, "Vectors of texts."},
    {"POST", "/api/embeddings", OllamaEmbeddings, "The vector of a text."},
    {"GET", "/api/tags", OllamaTags, "The models."},
    {"GET", "/api/ps", OllamaRunning, "The models in memory."},
    {"POST", "/api/show", OllamaShow, "What a model can do."},
    {"POST", "/api/pull", OllamaPull, "Success for a model that is served; nothing is downloaded."},
    {"GET", "/api/version", OllamaVersion, "The version of Ollama whose API this is."},
    {"GET", "/", OllamaGreeting, "That somebody is there."},
    {"GET", "/v1beta/models", ListGeminiModels, "The models, as Gemini's API has them."},
    {"GET", "/v1beta/models/*", GetGeminiModel, "One model."},
    {"POST", "/v1beta/models/*", Gemini,
     "`MODEL:generateContent`, `:streamGenerateContent`, `:countTokens`, `:embedContent`, "
     "`:batchEmbedContents`."},
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

// The path as the table spells it: doubled and trailing slashes, a /v1 that a client wrote twice,
// or one that it left out, do not change what is meant. A path that is known as it is stays.
std::string Canonical(const std::string& path) {
  std::string out;
  for (const char c : path) {
    if (c != '/' || !out.ends_with('/')) out += c;
  }
  while (out.size() > 1 && out.ends_with('/')) out.pop_back();
  while (out.starts_with("/v1/v1/")) out.erase(0, 3);
  if (!RoutesOf(out).empty()) return out;
  const std::string versioned = "/v1" + out;
  return RoutesOf(versioned).empty() ? out : versioned;
}

// The route whose end is the end of `path`, for somebody whose base URL is wrong.
std::string_view SimilarRoute(std::string_view path) {
  for (const Route& route : kRoutes) {
    const std::string_view tail = route.path.starts_with("/v1") ? route.path.substr(3) : route.path;
    if (!tail.ends_with('*') && path.ends_with(tail)) return route.path;
  }
  return {};
}

Error NoRoute(std::string_view method, std::string_view path) {
  const std::string_view similar = SimilarRoute(path);
  return {Cat("there is no ", method, " ", path,
              similar.empty() ? "" : Cat("; did you mean ", similar, "?")),
          ErrorKind::kNotFound};
}

// A path that is there, asked in a way that it does not know.
HttpResponse WrongMethod(const HttpRequest& request, const std::vector<const Route*>& routes) {
  std::string methods;
  for (const Route* route : routes) {
    methods += Cat(methods.empty() ? "" : ", ", route->method);
    if (route->method == "GET") methods += ", HEAD";
  }
  methods += ", OPTIONS";
  HttpResponse response = ErrorWriterFor(request)(
      {Cat(request.path, " takes ", methods), ErrorKind::kInvalid, "method_not_allowed"});
  response.headers.emplace_back("Allow", methods);
  return response;
}

bool IsMedium(const OrderedJson& part) {
  if (!part.is_object()) return false;
  for (const char* name : {"inlineData", "inline_data", "fileData", "file_data"}) {
    if (part.contains(name)) return true;
  }
  const auto type = part.find("type");
  if (type == part.end() || !type->is_string()) return false;
  const auto& name = type->get_ref<const std::string&>();
  return name.find("image") != name.npos || name.find("audio") != name.npos ||
         name.find("video") != name.npos;
}

// `levels`: a tool's result is a part with parts of its own.
bool HoldsMedia(const OrderedJson& message, int levels = 2) {
  if (!message.is_object()) return false;
  // Pictures that a hosted tool made, and what is only named here.
  if (IsMedium(message) || message.value("type", OrderedJson()) == "item_reference") return true;
  const auto images = message.find("images");
  if (images != message.end() && images->is_array() && !images->empty()) return true;
  for (const char* parts : {"content", "output", "parts"}) {
    const auto list = message.find(parts);
    if (list == message.end() || !list->is_array()) continue;
    for (const OrderedJson& part : *list) {
      if (IsMedium(part) || (levels > 1 && HoldsMedia(part, levels - 1))) return true;
    }
  }
  const auto result = message.find("functionResponse");
  return levels > 1 && result != message.end() && HoldsMedia(*result, levels - 1);
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
  if (call.body.contains("conversation")) return true;
  if (HoldsMedia(call.body)) return true;  // a request that is its own message
  for (const char* messages : {"messages", "input", "contents"}) {
    const auto list = call.body.find(messages);
    if (list == call.body.end() || !list->is_array()) continue;
    if (std::any_of(list->begin(), list->end(),
                    [](const OrderedJson& message) { return HoldsMedia(message); }))
      return true;
  }
  return false;
}

// Which API's clients ask for a path.
constexpr std::pair<std::string_view, ErrorWriter> kErrorWriters[] = {
    {"/v1/messages", AnthropicError},
    {"/api/", OllamaError},
    {"/v1beta/", GeminiError},
};

}  // namespace

ErrorWriter ErrorWriterFor(const HttpRequest& request) {
  for (const auto& [prefix, writer] : kErrorWriters) {
    if (request.path.starts_with(prefix)) return writer;
  }
  // Paths that the APIs share.
  if (SpeaksGemini(request)) return GeminiError;
  return SpeaksAnthropic(request) ? AnthropicError : ErrorResponse;
}

std::span<const Route> Routes() {
  return kRoutes;
}

bool IsQuick(const HttpRequest& request) {
  const auto routes = RoutesOf(request.path);
  return !routes.empty() &&
         std::all_of(routes.begin(), routes.end(), [](const Route* route) { return route->quick; });
}

Result<void> Dispatch(Service& service, HttpRequest incoming, std::shared_ptr<Exchange> exchange) {
  Call call{.request = std::move(incoming),
            .exchange = std::move(exchange),
            .body = {},
            .name = {},
            .ignored = service.limits.strict ? nullptr : std::make_shared<IgnoredFields>()};
  HttpRequest& request = call.request;
  const std::string method = request.method == "HEAD" ? "GET" : request.method;
  request.path = Canonical(request.path);
  const auto routes = RoutesOf(request.path);
  if (routes.empty()) return NoRoute(method, request.path);
  const auto found = std::find_if(routes.begin(), routes.end(),
                                  [&](const Route* route) { return route->method == method; });
  if (found == routes.end()) {
    call.exchange->Send(WrongMethod(request, routes));
    return Ok();
  }
  const Route& route = **found;
  if (route.path.ends_with('*')) call.name = request.path.substr(route.path.size() - 1);
  if (method == "POST" && !request.Header("content-type").value_or("").starts_with("multipart/")) {
    FACET_ASSIGN(call.body, ParseBody(request.body));
    std::string().swap(request.body);  // pictures are large, and assigning would keep their memory
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
