// The responses API: input items, output items, and answers that are kept for an hour so that a
// later request can continue from them, or refer to their items.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "serve/openai/answer_job.h"
#include "serve/openai/requests.h"
#include "serve/state/conversation_store.h"
#include "serve/state/response_store.h"

namespace facet::serve {

struct ResponsesRequest {
  ChatRequest chat;
  OrderedJson given_input;  // as the client wrote it, until it has been read
  std::string instructions;
  OrderedJson own_items = OrderedJson::array();  // the same with ids, where they are kept
  std::optional<std::string> previous, conversation;
  bool store = true;
  bool seal_thoughts = false;  // reasoning items have encrypted_content
  bool summarise = false;      // and a summary
  bool with_logprobs = false;
  OrderedJson echo;  // fields that the response object repeats
};
const FieldTable<ResponsesRequest>& ResponsesFields();

// What items may refer to by id; a function that is not there finds nothing.
struct ItemSource {
  std::function<std::optional<OrderedJson>(const std::string&id)> item, conversation;
};
Result<ResponsesRequest> ReadResponses(OrderedJson body, const MediaAccess& access,
                                       IgnoredFields* ignored, const ItemSource& kept = {});

// `request.chat.conversation` is what the answer is appended to before it is stored.
struct ResponsesJobInput {
  ResponsesRequest request;
  std::string tenant;
  ResponseStore* store = nullptr;
  ConversationStore* conversations = nullptr;
};
std::shared_ptr<AnswerJob> MakeResponsesJob(std::shared_ptr<Exchange> exchange,
                                            std::shared_ptr<LoadedModel> model,
                                            ResponsesJobInput input);

}  // namespace facet::serve
