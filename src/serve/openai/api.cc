#include "serve/openai/api.h"

#include <algorithm>
#include <boost/asio/post.hpp>

#include "base/log.h"
#include "chat/grammar.h"

namespace facet::serve {

void SendError(Exchange& exchange, const ApiError& error) {
  exchange.Send(ErrorResponse(error));
}

void SendJson(Exchange& exchange, const OrderedJson& body) {
  exchange.Send({.status = 200, .body = Dump(body), .headers = {}});
}

namespace {

// What a request says may take long to fetch or to decode. A body is looked at once it is parsed:
// a text that only speaks of pictures costs nobody anything.
bool CarriesMedia(const HttpRequest& request, const Json& body, ResponseStore& responses) {
  if (request.Header("content-type").value_or("").starts_with("multipart/")) return true;
  if (!body.is_object()) return false;
  if (body.contains("previous_response_id") && body["previous_response_id"].is_string() &&
      responses.HoldsMedia(request.tenant, body["previous_response_id"]))
    return true;
  const auto is_medium = [](const Json& part) {
    if (!part.is_object() || !part.contains("type") || !part["type"].is_string()) return false;
    const std::string& type = part["type"].get_ref<const std::string&>();
    return type.find("image") != type.npos || type.find("audio") != type.npos ||
           type.find("video") != type.npos;
  };
  for (const char* list : {"messages", "input"}) {
    if (!body.contains(list) || !body[list].is_array()) continue;
    for (const Json& message : body[list]) {
      if (!message.is_object()) continue;
      for (const char* parts : {"content", "output"}) {  // of a message, of a call
        if (!message.contains(parts) || !message[parts].is_array()) continue;
        if (std::any_of(message[parts].begin(), message[parts].end(), is_medium)) return true;
      }
    }
  }
  return false;
}

}  // namespace

Api::Api(ModelPool& models, ApiLimits limits)
    : models_(models),
      limits_(limits),
      media_memory_(std::make_shared<MediaMemory>(limits.media_memory)),
      media_workers_(limits.media_workers) {
  routes_["/v1/chat/completions"]["POST"] = &Api::Chat;
  routes_["/v1/completions"]["POST"] = &Api::Completions;
  routes_["/v1/embeddings"]["POST"] = &Api::Embeddings;
  routes_["/v1/responses"]["POST"] = &Api::Responses;
  routes_["/v1/audio/transcriptions"]["POST"] = &Api::Transcriptions;
  routes_["/v1/models"]["GET"] = &Api::ListModels;
  routes_["/tokenize"]["POST"] = &Api::Tokenize;
  routes_["/detokenize"]["POST"] = &Api::Detokenize;
  routes_["/apply-template"]["POST"] = &Api::ApplyTemplate;
  routes_["/health"]["GET"] = &Api::Health;
  routes_["/metrics"]["GET"] = &Api::Metrics;
}

Api::~Api() = default;

void Api::Handle(std::shared_ptr<const HttpRequest> request, std::shared_ptr<Exchange> exchange) {
  Call call{std::move(request), std::move(exchange), {}};
  const std::string method = call.request->method == "HEAD" ? "GET" : call.request->method;
  const std::map<std::string, Route>* methods = nullptr;
  static const std::map<std::string, Route> kModel = {{"GET", &Api::GetModel}};
  static const std::map<std::string, Route> kResponse = {{"GET", &Api::GetResponse},
                                                         {"DELETE", &Api::DeleteResponse}};
  if (const auto it = routes_.find(call.request->path); it != routes_.end()) {
    methods = &it->second;
  } else if (call.request->path.starts_with("/v1/models/")) {
    methods = &kModel;
  } else if (call.request->path.starts_with("/v1/responses/")) {
    methods = &kResponse;
  }
  if (methods == nullptr) {
    return SendError(*call.exchange,
                     {404, Cat("there is no ", method, " ", call.request->path), "not_found", {}});
  }
  const auto route = methods->find(method);
  if (route == methods->end()) {
    ApiError error{
        405, Cat(call.request->path, " takes ", methods->begin()->first), "method_not_allowed", {}};
    HttpResponse response = ErrorResponse(error);
    response.headers.emplace_back("Allow", methods->begin()->first);
    return call.exchange->Send(std::move(response));
  }
  const auto type = call.request->Header("content-type").value_or("");
  if (method == "POST" && !type.starts_with("multipart/")) {
    if (const auto error = ParseBody(call.request->body, call.body))
      return SendError(*call.exchange, *error);
  }
  if (CarriesMedia(*call.request, call.body, responses_))
    return HandleMedia(route->second, std::move(call));
  (this->*route->second)(call);
}

void Api::HandleMedia(Route route, Call call) {
  boost::asio::post(media_workers_, [this, route, call = std::move(call)]() mutable {
    const std::shared_ptr<Exchange> exchange = call.exchange;
    if (exchange->Closed()) return;
    try {
      (this->*route)(call);
    } catch (const std::exception& e) {
      spdlog::error("media: {}", e.what());
      SendError(*exchange, {500, "internal error", "internal_error", std::nullopt});
      exchange->End();
    }
  });
}

std::shared_ptr<LoadedModel> Api::ModelFor(Call& call, const std::optional<std::string>& id) {
  const std::string name = id.value_or(models_.default_id());
  if (auto model = models_.Use(name)) return model;
  // The call begins again when the model is there; no thread waits for it.
  models_.WhenLoaded(name, [this, request = call.request, exchange = call.exchange](
                               const Result<std::shared_ptr<LoadedModel>>& model) {
    if (exchange->Closed()) return;
    model ? Handle(request, exchange) : SendError(*exchange, ToApiError(model.error()));
  });
  return nullptr;
}

// --- generating routes

std::optional<ApiError> BuildChatPrompt(const LoadedModel& model, const ChatRequest& chat,
                                        const std::string& param, std::shared_ptr<Prompt>& out,
                                        std::shared_ptr<MediaMemory> memory) {
  if (model.chat_template == nullptr)
    return ApiError{400, model.template_error, "no_chat_template", "model"};
  PromptRequest request;
  request.messages = chat.conversation.messages;
  request.tools = chat.tools;
  request.render.enable_thinking = chat.thinking;
  request.render.extra = chat.template_extra;
  request.memory = std::move(memory);
  request.load = [&](const nlohmann::ordered_json& part) -> Result<MediaSource> {
    return MediaSource(chat.conversation.media[part["index"].get<size_t>()]);
  };
  auto prompt =
      BuildPrompt(model.config, *model.tokenizer, *model.chat_template, std::move(request));
  if (!prompt) {
    ApiError error = ToApiError(prompt.error(), param);
    // What is wrong with a medium is the client's to mend; that others are served is not.
    if (prompt.error().kind != ErrorKind::kBusy &&
        (error.status == 404 || error.status == 413 || error.status == 503)) {
      error.status = 400;
      error.code = "invalid_value";
    }
    return error;
  }
  out = std::make_shared<Prompt>(std::move(*prompt));
  return CheckLength(model, *out, param);
}

namespace {

// The prompt ends inside a thinking channel that it opened itself.
bool EndsThinking(const Tokenizer& tokenizer, const Prompt& prompt) {
  const auto open = tokenizer.Find("<|channel>"), close = tokenizer.Find("<channel|>"),
             turn = tokenizer.Find("<|turn>");
  for (auto id = prompt.ids.rbegin(); id != prompt.ids.rend(); ++id) {
    if (open && *id == *open) return true;
    if ((close && *id == *close) || (turn && *id == *turn)) return false;
  }
  return false;
}

// Tokens of thoughts at most in front of an answer that must have a form.
constexpr int kThinkingInForm = 8192;

bool HasStrictTool(const Json& tools) {
  return std::any_of(tools.begin(), tools.end(),
                     [](const Json& tool) { return tool["function"].value("strict", false); });
}

// The form that the answer must have; nothing where any will do. `param` is the field that asks for
// it.
std::optional<AnswerForm> FormOf(const ChatRequest& chat, bool open_thinking, std::string& param) {
  using Kind = ToolChoice::Kind;
  AnswerForm form;
  const bool must =
      chat.tool_choice.kind == Kind::kRequired || chat.tool_choice.kind == Kind::kNamed;
  const bool tools = chat.tools.is_array() && chat.tool_choice.kind != Kind::kNone;
  if (must) {
    param = "tool_choice";
    form.calls = AnswerForm::Calls::kMust;
  } else if (chat.format.kind != ResponseFormat::Kind::kText) {
    param = "response_format";
    form.schema = chat.format.kind == ResponseFormat::Kind::kJsonObject
                      ? OrderedJson{{"type", "object"}}
                      : chat.format.schema;
  } else if (tools && HasStrictTool(chat.tools)) {
    param = "tools";
  } else {
    return std::nullopt;
  }
  if (tools) form.tools = chat.tools;
  if (chat.tool_choice.kind == Kind::kNamed) form.only = chat.tool_choice.name;
  form.parallel = chat.parallel_calls;
  using Thinking = AnswerForm::Thinking;
  // Where text is free anyway, a model that thinks unasked is let think.
  const bool free = form.schema.is_null() && form.calls == AnswerForm::Calls::kMay;
  form.thinking = open_thinking                  ? Thinking::kOpen
                  : chat.thinking.value_or(free) ? Thinking::kMay
                                                 : Thinking::kNone;
  return form;
}

// Known only where the model is: a bias that moves nothing would be ignored.
std::optional<ApiError> CheckBias(const LoadedModel& model, const Common& common) {
  for (const auto& [id, value] : common.bias) {
    if (id >= model.engine->vocab())
      return ApiError{400, Cat("logit_bias: ", id, " is not a token"), "invalid_value",
                      "logit_bias"};
  }
  return std::nullopt;
}

std::optional<ApiError> Constrain(LoadedModel& model, const AnswerForm& form,
                                  const std::string& param, std::vector<Job::Run>& runs) {
  const auto refuse = [&](const Error& error) {
    return ApiError{400, Cat(param, ": ", error.message), "unsupported_schema", param};
  };
  const auto grammar = AnswerGrammar(form, *model.tokenizer);
  if (!grammar) return refuse(grammar.error());
  const auto vocabulary = model.Constraints();
  if (!vocabulary) return refuse(vocabulary.error());
  for (Job::Run& run : runs) {
    auto constraint = (*vocabulary)->Compile(*grammar);
    if (!constraint) return refuse(constraint.error());
    run.request.constraint = std::move(*constraint);
  }
  return std::nullopt;
}

}  // namespace

std::optional<ApiError> ChatRuns(LoadedModel& model, const ChatRequest& chat,
                                 std::shared_ptr<const Prompt> prompt, const std::string& tenant,
                                 std::vector<Job::Run>& out) {
  if (auto error = CheckBias(model, chat.common)) return error;
  const bool open_thinking = EndsThinking(*model.tokenizer, *prompt);
  std::string param;
  const auto form = FormOf(chat, open_thinking, param);
  std::vector<Job::Run> runs;
  const bool calls = chat.tools.is_array() && chat.tool_choice.kind != ToolChoice::Kind::kNone;
  for (int choice = 0; choice < chat.common.choices; ++choice) {
    Job::Run run;
    run.request = MakeGeneration(model, prompt, chat.common, tenant, choice);
    if (!calls && model.call_open) run.request.sampling.suppress.push_back(*model.call_open);
    run.answer.thinking = open_thinking;
    run.answer.thinking_budget = chat.thinking_budget;
    run.answer.one_call = !chat.parallel_calls;
    run.answer.stop = chat.common.stop;
    runs.push_back(std::move(run));
  }
  if (form) {
    if (auto error = Constrain(model, *form, param, runs)) return error;
    // Thoughts without an end would leave no room for the form.
    const int room = chat.common.max_tokens.value_or(kThinkingInForm * 2) / 2;
    for (Job::Run& run : runs) {
      run.answer.thinking_budget =
          std::min({run.answer.thinking_budget.value_or(kThinkingInForm), room, kThinkingInForm});
    }
  }
  std::move(runs.begin(), runs.end(), std::back_inserter(out));
  return std::nullopt;
}

void Api::Chat(Call& call) {
  ChatRequest chat;
  if (const auto error = ReadChat(call.body, limits_, chat))
    return SendError(*call.exchange, *error);
  RestoreOrder(call.request->body, chat);
  call.body = nullptr;  // pictures are large
  const auto model = ModelFor(call, chat.common.model);
  if (model == nullptr) return;
  std::shared_ptr<Prompt> prompt;
  std::vector<Job::Run> runs;
  auto error = BuildChatPrompt(*model, chat, "messages", prompt, media_memory_);
  if (!error) error = ChatRuns(*model, chat, prompt, call.request->tenant, runs);
  if (error) return SendError(*call.exchange, *error);
  MakeChatJob(call.exchange, model, chat.common)->Start(std::move(runs));
}

std::optional<ApiError> TextPrompt(const LoadedModel& model, const TextOrIds& text,
                                   const std::string& param, std::shared_ptr<Prompt>& out) {
  out = std::make_shared<Prompt>();
  if (const auto* ids = std::get_if<std::vector<TokenId>>(&text)) {
    out->ids = *ids;
  } else {
    *out = RawPrompt(*model.tokenizer, std::get<std::string>(text));
    const auto bos = model.tokenizer->bos();
    if (bos && (out->ids.empty() || out->ids[0] != *bos)) out->ids.insert(out->ids.begin(), *bos);
  }
  for (const TokenId id : out->ids) {
    if (id >= model.engine->vocab())
      return ApiError{400, Cat(param, ": ", id, " is not a token"), "invalid_value", param};
  }
  return CheckLength(model, *out, param);
}

void Api::Completions(Call& call) {
  CompletionRequest completion;
  if (const auto error = ReadCompletion(call.body, limits_, completion))
    return SendError(*call.exchange, *error);
  const auto model = ModelFor(call, completion.common.model);
  if (model == nullptr) return;
  if (const auto error = CheckBias(*model, completion.common))
    return SendError(*call.exchange, *error);
  if (completion.prompts.size() * completion.common.choices > 128) {
    return SendError(*call.exchange,
                     {400, "n: expected at most 128 answers in one request", "invalid_value", "n"});
  }
  std::vector<Job::Run> runs;
  for (const TextOrIds& text : completion.prompts) {
    std::shared_ptr<Prompt> prompt;
    if (const auto error = TextPrompt(*model, text, "prompt", prompt))
      return SendError(*call.exchange, *error);
    for (int i = 0; i < completion.common.choices; ++i) {
      Job::Run run;
      run.request = MakeGeneration(*model, prompt, completion.common, call.request->tenant, i);
      run.answer.chat = false;
      run.answer.stop = completion.common.stop;
      runs.push_back(std::move(run));
    }
  }
  MakeCompletionJob(call.exchange, model, completion.common)->Start(std::move(runs));
}

namespace {

// What came before goes in front; its media keep their numbers.
void Prepend(const Conversation& before, Conversation& conversation) {
  for (Json& message : conversation.messages) {
    if (!message["content"].is_array()) continue;
    for (Json& part : message["content"]) {
      if (part.contains("index")) part["index"] = part["index"].get<size_t>() + before.media.size();
    }
  }
  Conversation all = before;
  for (Json& message : conversation.messages) all.messages.push_back(std::move(message));
  for (std::string& medium : conversation.media) all.media.push_back(std::move(medium));
  conversation = std::move(all);
}

}  // namespace

void Api::Responses(Call& call) {
  ResponsesJobInput input{.request = {}, .tenant = call.request->tenant, .store = &responses_};
  ResponsesRequest& r = input.request;
  if (const auto error = ReadResponses(call.body, limits_, r))
    return SendError(*call.exchange, *error);
  RestoreOrder(call.request->body, r.chat);
  call.body = nullptr;
  const auto model = ModelFor(call, r.chat.common.model);
  if (model == nullptr) return;
  if (r.previous) {
    const auto before = responses_.Get(call.request->tenant, *r.previous);
    if (!before) {
      return SendError(*call.exchange,
                       {404, Cat("previous_response_id: there is no response ", *r.previous),
                        "previous_response_not_found", "previous_response_id"});
    }
    Prepend(before->conversation, r.chat.conversation);
  }
  Json& messages = r.chat.conversation.messages;
  if (messages.empty())
    return SendError(*call.exchange,
                     {400, "input: expected at least one item", "invalid_value", "input"});
  const bool instructed = !r.instructions.empty();
  if (instructed)
    messages.insert(messages.begin(), Json{{"role", "system"}, {"content", r.instructions}});
  std::shared_ptr<Prompt> prompt;
  std::vector<Job::Run> runs;
  auto error = BuildChatPrompt(*model, r.chat, "input", prompt, media_memory_);
  if (!error) error = ChatRuns(*model, r.chat, prompt, call.request->tenant, runs);
  if (error) return SendError(*call.exchange, *error);
  if (instructed) messages.erase(messages.begin());  // they are not carried over
  MakeResponsesJob(call.exchange, model, std::move(input))->Start(std::move(runs));
}

void Api::GetResponse(Call& call) {
  const std::string id = call.request->path.substr(std::string_view("/v1/responses/").size());
  const auto stored = responses_.Get(call.request->tenant, id);
  if (!stored)
    return SendError(*call.exchange,
                     {404, Cat("there is no response ", id), "response_not_found", {}});
  SendJson(*call.exchange, stored->object);
}

void Api::DeleteResponse(Call& call) {
  const std::string id = call.request->path.substr(std::string_view("/v1/responses/").size());
  if (!responses_.Erase(call.request->tenant, id)) {
    return SendError(*call.exchange,
                     {404, Cat("there is no response ", id), "response_not_found", {}});
  }
  SendJson(*call.exchange, {{"id", id}, {"object", "response"}, {"deleted", true}});
}

// --- models

OrderedJson Api::DescribeModel(const std::string& id) const {
  OrderedJson out = {{"id", id}, {"object", "model"}, {"created", 0}, {"owned_by", "facet"}};
  const auto status = models_.StatusOf(id);
  using State = ModelPool::Status::State;
  out["status"] = {{"value", status->state == State::kLoaded    ? "loaded"
                             : status->state == State::kLoading ? "loading"
                                                                : "unloaded"}};
  if (!status->base.empty()) out["parent"] = status->base;
  if (status->facts) {
    out["context_length"] = status->facts->context;
    out["max_model_len"] = status->facts->context;
    out["architecture"] = {{"input_modalities", status->facts->modalities},
                           {"output_modalities", {"text"}}};
    out["meta"] = {{"n_ctx", status->facts->context}, {"memory_bytes", status->bytes}};
  }
  if (const auto model = models_.Loaded(id)) {
    out["created"] = model->created;
    out["meta"]["n_ctx_train"] = model->config.text.context;
    out["meta"]["n_vocab"] = model->engine->vocab();
    out["meta"]["n_embd"] = model->engine->width();
    out["embeddings"] = EmbeddingNote();
  }
  return out;
}

void Api::ListModels(Call& call) {
  OrderedJson body = {{"object", "list"}, {"data", OrderedJson::array()}};
  for (const std::string& id : models_.ids()) body["data"].push_back(DescribeModel(id));
  SendJson(*call.exchange, body);
}

void Api::GetModel(Call& call) {
  const std::string id = call.request->path.substr(std::string_view("/v1/models/").size());
  if (!models_.StatusOf(id)) {
    return SendError(*call.exchange,
                     {404, Cat("the model '", id, "' does not exist"), "model_not_found", "model"});
  }
  SendJson(*call.exchange, DescribeModel(id));
}

// --- text and tokens

void Api::Tokenize(Call& call) {
  Fields fields(call.body, "");
  const auto id = fields.String("model", 1024);
  const auto content = fields.String("content", SIZE_MAX),
             prompt = fields.String("prompt", SIZE_MAX);
  const bool special = fields.Bool("parse_special").value_or(true);
  const bool bos = fields.Bool("add_special").value_or(false);
  const bool pieces = fields.Bool("with_pieces").value_or(false);
  if (!content && !prompt) fields.Require("content");
  fields.Done();
  if (fields.error()) return SendError(*call.exchange, *fields.error());
  const auto model = ModelFor(call, id);
  if (model == nullptr) return;
  const std::string& text = content ? *content : *prompt;
  std::vector<TokenId> ids =
      special ? model->tokenizer->Encode(text) : model->tokenizer->EncodePlain(text);
  if (bos && model->tokenizer->bos()) ids.insert(ids.begin(), *model->tokenizer->bos());
  OrderedJson body = {{"tokens", OrderedJson::array()},
                      {"count", ids.size()},
                      {"max_model_len", model->engine->context()}};
  for (const TokenId token : ids) {
    if (pieces) {
      body["tokens"].push_back({{"id", token}, {"piece", model->tokenizer->Piece(token)}});
    } else {
      body["tokens"].push_back(token);
    }
  }
  SendJson(*call.exchange, body);
}

void Api::Detokenize(Call& call) {
  Fields fields(call.body, "");
  const auto id = fields.String("model", 1024);
  fields.Require("tokens");
  const Json* tokens = fields.Array("tokens", 1 << 20);
  fields.Done();
  std::vector<TokenId> ids;
  for (size_t i = 0; fields.ok() && i < tokens->size(); ++i) {
    const Json& token = (*tokens)[i];
    if (!token.is_number_integer() || token.get<double>() < 0 || token.get<double>() > INT32_MAX) {
      fields.Fail(Cat("tokens[", i, "]"), Cat("expected a token id but got ", Show(token)),
                  "invalid_type");
    } else {
      ids.push_back(token.get<TokenId>());
    }
  }
  if (fields.error()) return SendError(*call.exchange, *fields.error());
  const auto model = ModelFor(call, id);
  if (model == nullptr) return;
  const std::string text = model->tokenizer->Decode(ids);
  SendJson(*call.exchange, {{"content", text}, {"prompt", text}});
}

void Api::ApplyTemplate(Call& call) {
  ChatRequest chat;
  if (const auto error = ReadChat(call.body, limits_, chat))
    return SendError(*call.exchange, *error);
  const auto model = ModelFor(call, chat.common.model);
  if (model == nullptr) return;
  std::shared_ptr<Prompt> prompt;
  if (const auto error = BuildChatPrompt(*model, chat, "messages", prompt, media_memory_))
    return SendError(*call.exchange, *error);
  SendJson(*call.exchange, {{"prompt", prompt->text}, {"tokens", prompt->ids.size()}});
}

// --- state

void Api::Health(Call& call) {
  const char* status = draining_ ? "draining" : models_.ready() ? "ok" : "loading";
  HttpResponse response{.body = Dump(OrderedJson{{"status", status}}), .headers = {}};
  if (draining_ || !models_.ready()) {
    response.status = 503;
    response.body = ErrorBody({503, Cat("the server is ", status), status, std::nullopt});
  }
  call.exchange->Send(std::move(response));
}

void Api::Metrics(Call& call) {
  call.exchange->Send(
      {.content_type = "text/plain; version=0.0.4", .body = MetricsText(models_), .headers = {}});
}

}  // namespace facet::serve
