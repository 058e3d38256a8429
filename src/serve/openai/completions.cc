// /v1/completions: texts that go on, without a chat template.
#include "serve/handlers.h"
#include "serve/openai/jobs.h"
#include "serve/openai/runs.h"

namespace facet::serve {
namespace {

// Prompts of a request, and answers to all of them.
constexpr size_t kMaxPrompts = 64, kMaxAnswers = 128;
constexpr int kDefaultTokens = 16;  // the API's

FieldTable<CompletionRequest> MakeCompletionFields() {
  FieldTable<CompletionRequest> t;
  t.Custom("prompt", "string, token ids, or a list of them", Cat("at most ", kMaxPrompts),
           "What goes on.",
           [](JsonFields& fields, std::string_view name, CompletionRequest& out) {
             ReadTexts(fields, name, kMaxPrompts, out.prompts);
           })
      .Required();
  t.Include(CommonFields(), &CompletionRequest::common);
  t.Include(ChoiceFields(), &CompletionRequest::common);
  t.Integer(
      "logprobs", [](CompletionRequest& out, int64_t n) { out.common.top_logprobs = int(n); }, 0,
      kMaxTopLogprobs, "Log-probabilities of each token and so many of the likeliest others.");
  t.Only("echo", false, "The prompt is not repeated.");
  t.Only("suffix", "", "Nothing is inserted before an end.");
  t.Integer("best_of", &CompletionRequest::best_of, 1, kMaxChoices,
            "Only the value of `n`: all answers are given.");
  t.Ignored({"store"}, "answers are not kept");
  return t;
}

Result<std::vector<AnswerJob::Run>> CompletionRuns(const LoadedModel& model,
                                                   const CompletionRequest& request,
                                                   const std::string& tenant) {
  std::vector<AnswerJob::Run> runs;
  for (const TextOrIds& text : request.prompts) {
    FACET_ASSIGN(const auto prompt, TextPrompt(model, text, "prompt"));
    for (int i = 0; i < request.common.choices; ++i) {
      AnswerJob::Run run;
      run.request = MakeGeneration(model, prompt, request.common, tenant, i);
      run.answer.chat = false;
      run.answer.stop = request.common.stop;
      runs.push_back(std::move(run));
    }
  }
  return runs;
}

}  // namespace

const FieldTable<CompletionRequest>& CompletionFields() {
  static const FieldTable<CompletionRequest> table = MakeCompletionFields();
  return table;
}

Result<CompletionRequest> ReadCompletion(OrderedJson body, IgnoredFields* ignored) {
  CompletionRequest request;
  FACET_TRY(CompletionFields().ReadAll(body, request, ignored));
  if (request.best_of && *request.best_of != request.common.choices) {
    return Error{
        Cat("best_of: expected ", request.common.choices, ": anything else is not supported"),
        ErrorKind::kUnsupported, "unsupported", "best_of"};
  }
  if (!request.common.max_tokens) request.common.max_tokens = kDefaultTokens;
  return request;
}

Result<void> Completions(Service& service, Call& call) {
  FACET_ASSIGN(CompletionRequest request, ReadCompletion(std::move(call.body), call.ignored.get()));
  const auto name = request.common.model;
  return service.WithModel(
      call, name,
      [request = std::move(request), exchange = call.exchange,
       tenant = call.request.tenant](std::shared_ptr<LoadedModel> model) -> Result<void> {
        FACET_TRY(CheckBias(*model, request.common));
        if (request.prompts.size() * request.common.choices > kMaxAnswers) {
          return Error{Cat("n: expected at most ", kMaxAnswers, " answers in one request"),
                       ErrorKind::kInvalid,
                       {},
                       "n"};
        }
        FACET_ASSIGN(auto runs, CompletionRuns(*model, request, tenant));
        return MakeCompletionJob(exchange, model, request.common)->Start(std::move(runs));
      });
}

}  // namespace facet::serve
