// Forms that answers must have: from what a request asks for to a constraint that the engine can
// hold an answer to.
#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "chat/grammar.h"
#include "runtime/loaded_model.h"
#include "serve/openai/answer_job.h"
#include "serve/openai/requests.h"

namespace facet::serve {

struct RequestedForm {
  AnswerForm form;
  std::string param;  // the field that asks for it
};

// Nothing where any answer will do. `open_thinking`: the prompt ends inside a thinking channel.
std::optional<RequestedForm> FormOf(const ChatRequest& chat, bool open_thinking);

// The form of a text alone; nothing where any text will do.
std::optional<RequestedForm> TextFormOf(const ResponseFormat& format);

// Compiles the form, which may take seconds where it is at fault, and gives each run a constraint
// of its own. `stop` ends it (kCancelled). Tools that are not strict are held to what can be
// enforced of their arguments; anything else that cannot be enforced is an error with its place in
// the schema, code "unsupported_schema".
Result<void> Constrain(const LoadedModel& model, const RequestedForm& form,
                       std::vector<AnswerJob::Run>& runs, std::stop_token stop);

}  // namespace facet::serve
