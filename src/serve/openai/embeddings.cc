#include "serve/openai/embeddings.h"

#include <cmath>
#include <cstring>

#include "base/base64.h"
#include "serve/handlers.h"
#include "serve/openai/parts_job.h"
#include "serve/openai/runs.h"

namespace facet::serve {
namespace {

constexpr size_t kMaxTexts = 2048;
// Texts of one request that stand in the engine at the same time.
constexpr size_t kAtOnce = 16;

void ReadInput(JsonFields& fields, std::string_view name, EmbeddingRequest& out) {
  ReadTexts(fields, name, kMaxTexts, out.texts);
  for (const TextOrIds& text : out.texts) {
    const auto* string = std::get_if<std::string>(&text);
    if (string != nullptr && string->empty())
      fields.Fail(name, "expected texts that are not empty");
  }
}

FieldTable<EmbeddingRequest> MakeEmbeddingFields() {
  FieldTable<EmbeddingRequest> t;
  t.Custom("input", "string, token ids, or a list of them", Cat("at most ", kMaxTexts),
           "The texts. None may be empty.", ReadInput)
      .Required();
  t.Text("model", &EmbeddingRequest::model, kMaxModelName,
         "One of the names of `/v1/models`; without it, the first.");
  t.Choice(
      "encoding_format",
      [](EmbeddingRequest& out, const std::string& format) { out.base64 = format == "base64"; },
      {"float", "base64"}, "`base64`: little-endian float32.");
  t.Integer("dimensions", &EmbeddingRequest::dimensions, 1, INT32_MAX,
            "Only the model's own width: its states were not trained to be cut.");
  t.Ignored({"user"}, "who the end user is; nothing is kept by user");
  return t;
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

  Result<void> SubmitPart(size_t index) override {
    GenerationRequest request;
    request.prompt = prompts_[index];
    request.adapter = model_->adapter.weights;
    request.embed = true;
    auto self = std::static_pointer_cast<EmbeddingJob>(shared_from_this());
    return Enter(std::move(request), std::make_shared<Listener>(std::move(self), index));
  }

  void Done(const Outcome& outcome) {
    const std::lock_guard lock(mutex_);
    if (const auto status = StatusOf(outcome); !status) return Fail(status.error());
    if (stopped()) return;
    tokens_ += outcome.stats.prompt;
    Ended();
  }

  void OnAllEnded() override {
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

const FieldTable<EmbeddingRequest>& EmbeddingFields() {
  static const FieldTable<EmbeddingRequest> table = MakeEmbeddingFields();
  return table;
}

namespace {

Result<std::vector<std::shared_ptr<Prompt>>> EmbeddingPrompts(const LoadedModel& model,
                                                              const EmbeddingRequest& request) {
  const int width = model.engine->width();
  if (request.dimensions && *request.dimensions != width) {
    return Error{
        Cat("dimensions: expected ", width, ": this model's embeddings were not trained to be cut"),
        ErrorKind::kUnsupported,
        {},
        "dimensions"};
  }
  std::vector<std::shared_ptr<Prompt>> prompts;
  for (const TextOrIds& text : request.texts) {
    FACET_ASSIGN(auto prompt, TextPrompt(model, text, "input"));
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

}  // namespace

Result<void> Embeddings(Service& service, Call& call) {
  EmbeddingRequest request;
  FACET_TRY(EmbeddingFields().ReadAll(call.body, request));
  const auto name = request.model;
  return service.WithModel(
      call, name,
      [request = std::move(request), exchange = call.exchange,
       tenant = call.request.tenant](std::shared_ptr<LoadedModel> model) -> Result<void> {
        FACET_ASSIGN(auto prompts, EmbeddingPrompts(*model, request));
        std::make_shared<EmbeddingJob>(exchange, model, std::move(prompts), tenant, request.base64)
            ->Start();
        return Ok();
      });
}

}  // namespace facet::serve
