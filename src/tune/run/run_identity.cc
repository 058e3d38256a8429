#include "tune/run/run_identity.h"

namespace facet::tune {

using Json = nlohmann::ordered_json;

Json RunIdentity(const RunInputs& inputs, const TuneOptions& options) {
  Json weights = Json::array();
  for (const DataFile& file : inputs.train->files()) weights.push_back(file.weight);
  return {{"method", options.method},
          {"data", inputs.train->Fingerprint()},
          {"weights", weights},
          {"examples", inputs.train_examples.size()},
          {"validation", inputs.validation_examples.size()},
          {"batch_tokens", options.plan.batch_tokens},
          {"accumulate", options.plan.accumulate},
          {"epochs", options.plan.epochs},
          {"steps", options.plan.max_steps},
          {"seed", options.plan.seed},
          {"learning_rate", options.learning_rate},
          {"warmup", options.warmup},
          {"clip", options.clip},
          {"schedule", static_cast<int>(options.curve)},
          {"eval_every", options.eval_every},
          {"log_every", options.log_every}};
}

Result<void> CheckRunIdentity(const Json& now, const Json& then, const std::string& checkpoint) {
  for (const auto& [key, value] : now.items()) {
    const Json before = then.value(key, Json());
    if (before == value) continue;
    if (key == "data") {
      return Error{
          Cat(checkpoint, ": the data have changed since; start anew with --from ", checkpoint)};
    }
    return Error{Cat(checkpoint, ": the run had ", key, " ", before.dump(), " but now has ",
                     value.dump(), "; start anew with --from ", checkpoint)};
  }
  return Ok();
}

}  // namespace facet::tune
