// /v1/completions: texts that go on, without a chat template.
#include "serve/handlers.h"
#include "serve/openai/jobs.h"
#include "serve/openai/runs.h"

namespace facet::serve {
namespace {

// Prompts of a request, and answers to all of them.
constexpr size_t kMaxPrompts = 64, kMaxAnswers = 128;
constexpr int kDefaultTokens = 16;  // the API's

// A number, or false as in the chat API.
void ReadLogprobs(JsonFields& fields, std::string_view name, CompletionRequest& out) {
  const OrderedJson* given = fields.Any(name);
  if (given == nullptr || *given == false) return;
  if (*given == true) {
    out.common.top_logprobs = 0;
  } else if (const auto n = fields.Int(name, 0, kMaxTopLogprobs)) {
    out.common.top_logprobs = static_cast<int>(*n);
  }
}

FieldTable<CompletionRequest> MakeCompletionFields() {
  FieldTable<CompletionRequest> t;
  t.Custom("prompt", "string, token ids, or a list of them", Cat("at most ", kMaxPrompts),
           "What goes on.",
           [](JsonFields& fields, std::string_view name, CompletionRequest& out) {
             ReadTexts(fields, name, kMaxPrompts, out.prompts);
           })
      .Required();
  t.Include(CommonFields(), &CompletionRequest::common);
  t.Include(ChoiceFields(0), &CompletionRequest::common);
  t.Custom("logprobs", "integer", IntegerLimits(0, kMaxTopLogprobs),
           "Log-probabilities of each token and so many of the likeliest others.", ReadLogprobs);
  t.Flag("echo", &CompletionRequest::echo,
         "The prompt stands in front of the answer; with `logprobs`, those of its tokens too. With "
         "`max_tokens` 0 there is nothing else.");
  t.Custom("response_format", "object", "",
           "A form that the answer must have: see [Structured answers](#structured-answers).",
           [](JsonFields& fields, std::string_view name, CompletionRequest& out) {
             ReadFormat(fields, name, out.common);
           });
  t.Refused({"prompt_logprobs"}, "use echo with logprobs");
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
      run.answer.min_tokens = request.common.min_tokens;
      run.request.read_only = request.common.max_tokens == 0;
      if (request.echo) run.request.prompt_logprobs = request.common.top_logprobs;
      runs.push_back(std::move(run));
    }
  }
  return runs;
}

std::vector<EchoedPrompt> EchoedPrompts(const LoadedModel& model, const CompletionRequest& request,
                                        const std::vector<AnswerJob::Run>& runs) {
  const Tokenizer& tokenizer = *model.tokenizer;
  const auto bos = tokenizer.bos();
  std::vector<EchoedPrompt> out;
  for (size_t i = 0; request.echo && i < request.prompts.size(); ++i) {
    const std::vector<TokenId>& ids =
        runs[i * static_cast<size_t>(request.common.choices)].request.prompt->ids;
    const auto* text = std::get_if<std::string>(&request.prompts[i]);
    EchoedPrompt echo;
    echo.text = text != nullptr ? *text : tokenizer.Decode(ids);
    echo.hidden = text != nullptr && bos && !text->starts_with(tokenizer.Piece(*bos)) ? 1 : 0;
    if (static_cast<size_t>(echo.hidden) < ids.size())
      echo.first_token = tokenizer.Piece(ids[echo.hidden]);
    out.push_back(std::move(echo));
  }
  return out;
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
      [&service, request = std::move(request), exchange = call.exchange,
       tenant = call.request.tenant](std::shared_ptr<LoadedModel> model) -> Result<void> {
        FACET_TRY(CheckBias(*model, request.common));
        if (request.prompts.size() * request.common.choices > kMaxAnswers) {
          return Error{Cat("n: expected at most ", kMaxAnswers, " answers in one request"),
                       ErrorKind::kInvalid,
                       {},
                       "n"};
        }
        FACET_ASSIGN(auto runs, CompletionRuns(*model, request, tenant));
        ChatRuns prepared{.runs = std::move(runs), .form = TextFormOf(request.common.format)};
        if (request.common.ignore_eos && !prepared.form) NeverEnd(*model, prepared.runs);
        auto echo = EchoedPrompts(*model, request, prepared.runs);
        const auto job = MakeCompletionJob(exchange, model, request.common, std::move(echo));
        return StartRuns(service, exchange, model, std::move(prepared), job);
      });
}

}  // namespace facet::serve
