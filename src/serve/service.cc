#include "serve/service.h"

#include <algorithm>
#include <cctype>

#include "base/log.h"
#include "base/text.h"

namespace facet::serve {
namespace {

// What programs and examples write where a server has one model anyway. The last is what clients of
// transcriptions have built in.
constexpr std::string_view kPlaceholders[] = {
    "",         "default",    "default-model", "model",       "model-name",
    "my-model", "your-model", "any",           "auto",        "current",
    "dummy",    "facet",      "local",         "local-model", "localmodel",
    "none",     "no-model",   "null",          "placeholder", "string",
    "test",     "undefined",  "unknown",       "x",           "your-model-name",
    "whisper-1"};

// Letters and digits behind the last slash, in lower case.
std::string PlainName(std::string_view name) {
  std::string out;
  for (const char c : ToLower(name.substr(name.rfind('/') + 1))) {
    if (std::isalnum(static_cast<unsigned char>(c))) out += c;
  }
  return out;
}

bool MeansTheOnly(std::string_view asked, std::string_view served) {
  const std::string word = ToLower(Trim(asked));
  if (std::find(std::begin(kPlaceholders), std::end(kPlaceholders), word) !=
      std::end(kPlaceholders))
    return true;
  const std::string a = PlainName(asked), b = PlainName(served);
  return a.size() >= 4 && b.size() >= 4 && (a.starts_with(b) || b.starts_with(a));
}

}  // namespace

std::string ModelName(const ModelPool& models, const Call& call,
                      const std::optional<std::string>& id) {
  if (!id) return models.default_id();
  const std::vector<std::string> served = models.ids();
  if (served.size() != 1 || *id == served[0] || !MeansTheOnly(*id, served[0])) return *id;
  if (call.ignored != nullptr) call.ignored->Add(Cat("model=", *id));
  return call.ignored != nullptr ? served[0] : *id;
}

void Service::ContinueWhenLoaded(const Call& call, const std::string& name, Continuation then) {
  models.WhenLoaded(name, [this, name, exchange = call.exchange, has_media = call.has_media,
                           then = std::move(then)](Result<std::shared_ptr<LoadedModel>> model) {
    if (exchange->Closed()) return;
    const auto work = [exchange, name, then, model = std::move(model)] {
      AnswerErrors(*exchange, name,
                   [&] { return model ? then(*model) : Result<void>(model.error()); });
    };
    // The loading thread has models to load, and decodes no media.
    has_media ? media.Run(work) : work();
  });
}

void TellIgnored(const Call& call) {
  if (call.ignored == nullptr || call.ignored->empty()) return;
  const std::string text = call.ignored->Text();
  spdlog::debug("{} {}: ignored {}", call.request.method, call.request.path, text);
  call.exchange->AddHeader("X-Facet-Ignored", text);
}

void SendJson(Exchange& exchange, const OrderedJson& body) {
  exchange.Send({.status = 200, .body = DumpJson(body), .headers = {}});
}

}  // namespace facet::serve
