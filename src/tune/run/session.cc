#include "tune/run/session.h"

#include <algorithm>
#include <numeric>

#include "chat/load_template.h"

namespace facet::tune {

Result<void> LoadSessionWeights(Session& session) {
  FACET_ASSIGN(session.checkpoint, LoadCheckpoint(session.files.model, session.files.mmproj));
  session.config = session.checkpoint.config;
  session.size = MeasureCheckpoint(session.checkpoint);
  return Ok();
}

Result<void> LoadSessionVocabulary(Session& session) {
  FACET_ASSIGN(session.tokenizer, Tokenizer::Load(session.files.model));
  FACET_ASSIGN(session.chat_template, LoadChatTemplate(session.files.model, *session.tokenizer));
  session.renderer =
      std::make_unique<Renderer>(session.config, *session.tokenizer,
                                 session.chat_template ? &*session.chat_template : nullptr);
  return Ok();
}

Result<void> SplitSession(Session& session, double share, uint64_t seed) {
  FACET_ASSIGN(session.split, SplitByRow(*session.train, share, seed));
  if (session.validation == nullptr) return Ok();
  session.split.validation.resize(session.validation->entries().size());
  std::iota(session.split.validation.begin(), session.split.validation.end(), 0u);
  return Ok();
}

Result<void> DropExamplesWithoutDrafts(Session& session) {
  const auto drop = [](const DataSet& data, std::vector<uint32_t>& examples) {
    std::erase_if(examples, [&](uint32_t i) { return data.entries()[i].labelled == 0; });
  };
  drop(*session.train, session.split.train);
  drop(session.validation_data(), session.split.validation);
  if (session.split.train.empty())
    return Error{"all answers have a single token: there is nothing to draft in them"};
  return Ok();
}

}  // namespace facet::tune
