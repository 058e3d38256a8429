// /v1/embeddings: the mean of the states of a text's tokens after the final norm, scaled to length
// one. The model was trained to write, not to embed: answers say so.
#include <cmath>
#include <cstring>

#include "base/base64.h"
#include "serve/openai/api.h"
#include "serve/openai/parts_job.h"

namespace facet::serve {
namespace {

constexpr size_t kMaxTexts = 2048;
// Texts of one request that stand in the engine at the same time.
constexpr size_t kAtOnce = 16;

struct EmbeddingRequest {
  std::optional<std::string> model;
  std::vector<TextOrIds> texts;
  bool base64 = false;
  std::optional<int> dimensions;
};

std::optional<ApiError> ReadEmbedding(const Json& body, EmbeddingRequest& out) {
  Fields fields(body, "");
  out.model = fields.String("model", 1024);
  ReadTexts(fields, "input", kMaxTexts, out.texts);
  out.base64 = fields.Choice("encoding_format", {"float", "base64"}) == "base64";
  if (const auto n = fields.Int("dimensions", 1, INT32_MAX)) out.dimensions = static_cast<int>(*n);
  fields.Ignore({"user"});
  fields.Done();
  for (const TextOrIds& text : out.texts) {
    const auto* string = std::get_if<std::string>(&text);
    if (string != nullptr && string->empty())
      fields.Fail("input", "expected texts that are not empty");
  }
  return fields.error();
}

// Length one; a mean of nothing but zeros stays as it is.
std::vector<float> Normalised(const std::vector<double>& mean) {
  double square = 0;
  for (const double value : mean) square += value * value;
  const double scale = square > 0 ? 1 / std::sqrt(square) : 0;
  std::vector<float> out;
  for (const double value : mean) out.push_back(static_cast<float>(value * scale));
  return out;
}

// Little-endian float32, as the official clients ask for.
std::string Base64Floats(const std::vector<float>& values) {
  std::string bytes(values.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return EncodeBase64(bytes);
}

// Answers when all texts are done.
class EmbeddingJob : public PartsJob {
 public:
  EmbeddingJob(std::shared_ptr<Exchange> exchange, std::shared_ptr<LoadedModel> model,
               std::vector<std::shared_ptr<Prompt>> prompts, std::string tenant, bool base64)
      : PartsJob(std::move(exchange), std::move(model), std::move(tenant), prompts.size(), kAtOnce),
        prompts_(std::move(prompts)),
        base64_(base64),
        vectors_(prompts_.size()) {}

 private:
  class Listener : public GenerationListener {
   public:
    Listener(std::shared_ptr<EmbeddingJob> job, size_t index)
        : job_(std::move(job)), index_(index) {}
    Decision OnToken(const Sampled&) override { return {.stop = true, .force = {}}; }
    void OnEmbedding(std::vector<double> mean) override {
      job_->vectors_[index_] = Normalised(mean);
    }
    void OnDone(const Outcome& outcome) override { job_->Done(outcome); }

   private:
    std::shared_ptr<EmbeddingJob> job_;
    size_t index_;
  };

  std::optional<ApiError> Submit(size_t index) override {
    GenerationRequest request;
    request.prompt = prompts_[index];
    request.adapter = model_->adapter.weights;
    request.embed = true;
    auto self = std::static_pointer_cast<EmbeddingJob>(shared_from_this());
    return Enter(std::move(request), std::make_shared<Listener>(std::move(self), index));
  }

  void Done(const Outcome& outcome) {
    const std::lock_guard lock(mutex_);
    if (const auto error = FailureOf(outcome)) return Fail(*error);
    if (stopped_) return;
    tokens_ += outcome.stats.prompt;
    Ended();
  }

  void Answer() override {
    OrderedJson body = {{"object", "list"}, {"data", OrderedJson::array()}, {"model", model_->id}};
    for (size_t i = 0; i < vectors_.size(); ++i) {
      OrderedJson vector;
      if (base64_) {
        vector = Base64Floats(vectors_[i]);
      } else {
        vector = vectors_[i];
      }
      body["data"].push_back(
          {{"object", "embedding"}, {"index", i}, {"embedding", std::move(vector)}});
    }
    body["usage"] = {{"prompt_tokens", tokens_}, {"total_tokens", tokens_}};
    body["embeddings"] = EmbeddingNote();
    SendJson(*exchange_, body);
  }

  const std::vector<std::shared_ptr<Prompt>> prompts_;
  const bool base64_;
  std::vector<std::vector<float>> vectors_;
  int64_t tokens_ = 0;
};

}  // namespace

OrderedJson EmbeddingNote() {
  return {{"pooling", "mean of the final hidden states of all tokens, scaled to length 1"},
          {"trained_for_embeddings", false}};
}

void Api::Embeddings(Call& call) {
  EmbeddingRequest request;
  if (const auto error = ReadEmbedding(call.body, request))
    return SendError(*call.exchange, *error);
  const auto model = ModelFor(call, request.model);
  if (model == nullptr) return;
  const int width = model->engine->width();
  if (request.dimensions && *request.dimensions != width) {
    return SendError(*call.exchange, {400,
                                      Cat("dimensions: expected ", width,
                                          ": this model's embeddings were not trained to be cut"),
                                      "unsupported", "dimensions"});
  }
  std::vector<std::shared_ptr<Prompt>> prompts;
  for (const TextOrIds& text : request.texts) {
    prompts.emplace_back();
    if (const auto error = TextPrompt(*model, text, "input", prompts.back()))
      return SendError(*call.exchange, *error);
  }
  std::make_shared<EmbeddingJob>(call.exchange, model, std::move(prompts), call.request->tenant,
                                 request.base64)
      ->Start();
}

}  // namespace facet::serve
