// The responses API: input items, output items, and answers that are kept for an hour so that a
// later request can continue from them.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "serve/openai/answer_job.h"
#include "serve/openai/requests.h"
#include "serve/state/response_store.h"

namespace facet::serve {

struct ResponsesRequest {
  ChatRequest chat;
  OrderedJson given_input;  // as the client wrote it, until it has been read
  std::string instructions;
  std::optional<std::string> previous;
  bool store = true;
  OrderedJson echo;  // fields that the response object repeats
};
const FieldTable<ResponsesRequest>& ResponsesFields();
Result<ResponsesRequest> ReadResponses(OrderedJson body, const MediaAccess& access,
                                       IgnoredFields* ignored);

// `request.chat.conversation` is what the answer is appended to before it is stored.
struct ResponsesJobInput {
  ResponsesRequest request;
  std::string tenant;
  ResponseStore* store = nullptr;
};
std::shared_ptr<AnswerJob> MakeResponsesJob(std::shared_ptr<Exchange> exchange,
                                            std::shared_ptr<LoadedModel> model,
                                            ResponsesJobInput input);

}  // namespace facet::serve
