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
               std::vector<std::shared_ptr<Prompt>> prompts, std::string tenant,
               EmbeddingWriter write)
      : PartsJob(std::move(exchange), std::move(model), std::move(tenant), prompts.size(), kAtOnce),
        prompts_(std::move(prompts)),
        write_(std::move(write)) {
    embedded_.vectors.resize(prompts_.size());
  }

 private:
  class Listener : public GenerationListener {
   public:
    Listener(std::shared_ptr<EmbeddingJob> job, size_t index)
        : job_(std::move(job)), index_(index) {}
    Decision OnToken(const Sampled&) override { return {.stop = true, .force = {}}; }
    void OnEmbedding(std::vector<double> mean) override {
      job_->embedded_.vectors[index_] = Normalised(mean);
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
    embedded_.tokens += outcome.stats.prompt;
    Ended();
  }

  void OnAllEnded() override { write_(*exchange_, *model_, embedded_); }

  const std::vector<std::shared_ptr<Prompt>> prompts_;
  const EmbeddingWriter write_;
  Embedded embedded_;
};

void SendEmbeddings(Exchange& exchange, const LoadedModel& model, const Embedded& embedded,
                    bool base64) {
  OrderedJson body = {{"object", "list"}, {"data", OrderedJson::array()}, {"model", model.id}};
  for (size_t i = 0; i < embedded.vectors.size(); ++i) {
    OrderedJson vector;
    if (base64) {
      vector = Base64Floats(embedded.vectors[i]);
    } else {
      vector = embedded.vectors[i];
    }
    body["data"].push_back(
        {{"object", "embedding"}, {"index", i}, {"embedding", std::move(vector)}});
  }
  body["usage"] = {{"prompt_tokens", embedded.tokens}, {"total_tokens", embedded.tokens}};
  body["embeddings"] = EmbeddingNote();
  SendJson(exchange, body);
}

}  // namespace

OrderedJson EmbeddingNote() {
  return {{"pooling", "mean of the final hidden states of all tokens, scaled to length 1"},
          {"trained_for_embeddings", false}};
}

const FieldTable<EmbeddingRequest>& EmbeddingFields() {
  static const FieldTable<EmbeddingRequest> table = MakeEmbeddingFields();
  return table;
}

Result<void> CheckDimensions(const LoadedModel& model, std::optional<int> dimensions,
                             const std::string& param) {
  const int width = model.engine->width();
  if (!dimensions || *dimensions == width) return Ok();
  return Error{
      Cat(param, ": expected ", width, ": this model's embeddings were not trained to be cut"),
      ErrorKind::kUnsupported,
      {},
      param};
}

Result<void> StartEmbedding(const std::shared_ptr<Exchange>& exchange,
                            const std::shared_ptr<LoadedModel>& model,
                            const std::vector<TextOrIds>& texts, const std::string& param,
                            const std::string& tenant, EmbeddingWriter write) {
  std::vector<std::shared_ptr<Prompt>> prompts;
  for (const TextOrIds& text : texts) {
    FACET_ASSIGN(auto prompt, TextPrompt(*model, text, param));
    prompts.push_back(std::move(prompt));
  }
  std::make_shared<EmbeddingJob>(exchange, model, std::move(prompts), tenant, std::move(write))
      ->Start();
  return Ok();
}

Result<void> Embeddings(Service& service, Call& call) {
  EmbeddingRequest request;
  FACET_TRY(EmbeddingFields().ReadAll(call.body, request, call.ignored.get()));
  const auto name = request.model;
  return service.WithModel(
      call, name,
      [request = std::move(request), exchange = call.exchange,
       tenant = call.request.tenant](std::shared_ptr<LoadedModel> model) -> Result<void> {
        FACET_TRY(CheckDimensions(*model, request.dimensions, "dimensions"));
        return StartEmbedding(exchange, model, request.texts, "input", tenant,
                              [base64 = request.base64](Exchange& to, const LoadedModel& loaded,
                                                        const Embedded& embedded) {
                                SendEmbeddings(to, loaded, embedded, base64);
                              });
      });
}

}  // namespace facet::serve
