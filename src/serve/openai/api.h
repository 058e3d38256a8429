// The routes of the OpenAI API and those beside it.
#pragma once

#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "runtime/model_pool.h"
#include "serve/http/http.h"
#include "serve/openai/job.h"
#include "serve/openai/requests.h"
#include "serve/openai/responses.h"

namespace facet::serve {

class Api {
 public:
  Api(ModelPool& models, ApiLimits limits = {});
  ~Api();

  // Answers a request, now or later. Called from many threads, which it does not keep long: media
  // are fetched and decoded by threads of its own.
  void Handle(std::shared_ptr<const HttpRequest> request, std::shared_ptr<Exchange> exchange);
  // /health says so from now on.
  void SetDraining() { draining_ = true; }
  // Returns when no thread of its own works on a request any more.
  void Finish() { media_workers_.join(); }

 private:
  struct Call {
    std::shared_ptr<const HttpRequest> request;
    std::shared_ptr<Exchange> exchange;
    Json body;
  };
  using Route = void (Api::*)(Call&);

  void HandleMedia(Route route, Call call);

  void Chat(Call& call);
  void Completions(Call& call);
  void Embeddings(Call& call);
  void Responses(Call& call);
  void GetResponse(Call& call);
  void DeleteResponse(Call& call);
  void Transcriptions(Call& call);
  void ListModels(Call& call);
  void GetModel(Call& call);
  void Tokenize(Call& call);
  void Detokenize(Call& call);
  void ApplyTemplate(Call& call);
  void Health(Call& call);
  void Metrics(Call& call);

  // Null: the call has been answered, or will be when the model is in memory.
  std::shared_ptr<LoadedModel> ModelFor(Call& call, const std::optional<std::string>& id);
  OrderedJson DescribeModel(const std::string& id) const;

  ModelPool& models_;
  ApiLimits limits_;
  ResponseStore responses_;
  std::atomic<bool> draining_{false};
  std::map<std::string, std::map<std::string, Route>> routes_;  // by path and method
  std::shared_ptr<MediaMemory> media_memory_;
  boost::asio::thread_pool media_workers_;
};

void SendError(Exchange& exchange, const ApiError& error);
void SendJson(Exchange& exchange, const OrderedJson& body);

// Renders, decodes media, tokenises. Errors name the part.
std::optional<ApiError> BuildChatPrompt(const LoadedModel& model, const ChatRequest& chat,
                                        const std::string& param, std::shared_ptr<Prompt>& out,
                                        std::shared_ptr<MediaMemory> memory = nullptr);
// Runs for all choices of a chat, constrained where a form is asked for; refuses what cannot be
// enforced.
std::optional<ApiError> ChatRuns(LoadedModel& model, const ChatRequest& chat,
                                 std::shared_ptr<const Prompt> prompt, const std::string& tenant,
                                 std::vector<Job::Run>& out);

// A text as it is, begun as the vocabulary begins texts; ids as they are.
std::optional<ApiError> TextPrompt(const LoadedModel& model, const TextOrIds& text,
                                   const std::string& param, std::shared_ptr<Prompt>& out);
// What /v1/embeddings gives, said in its answers and in the list of models.
OrderedJson EmbeddingNote();

// Jobs by API.
std::shared_ptr<Job> MakeChatJob(std::shared_ptr<Exchange> exchange,
                                 std::shared_ptr<LoadedModel> model, Common common);
std::shared_ptr<Job> MakeCompletionJob(std::shared_ptr<Exchange> exchange,
                                       std::shared_ptr<LoadedModel> model, Common common);

struct TranscriptionRequest {
  std::optional<std::string> model;
  std::string file, prompt, language, format = "json";
  double temperature = 0;
  bool stream = false;
};
std::optional<ApiError> ReadTranscription(const HttpRequest& request, TranscriptionRequest& out);

// /metrics in the Prometheus text format.
std::string MetricsText(const ModelPool& models);

}  // namespace facet::serve
