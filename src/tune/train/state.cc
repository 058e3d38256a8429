#include "tune/train/state.h"

#include <charconv>
#include <cstring>

#include "formats/safetensors.h"
#include "ops/quant/quant.h"

namespace facet::tune {
namespace {

constexpr const char* kSteps = "steps";
constexpr const char* kFormat = "facet-tune-2";

struct Field {
  const char* prefix;
  std::vector<float> Parameter::*values;
};
constexpr Field kFields[] = {
    {"value.", &Parameter::value}, {"mean.", &Parameter::mean}, {"square.", &Parameter::square}};

Result<uint64_t> Number(const Safetensors& file, const std::string& key) {
  const auto at = file.metadata().find(key);
  uint64_t number = 0;
  if (at == file.metadata().end()) return Error{Cat(file.path().string(), ": has no ", key)};
  const auto [end, code] =
      std::from_chars(at->second.data(), at->second.data() + at->second.size(), number);
  if (code != std::errc() || *end != '\0')
    return Expected("a number", at->second, Cat(file.path().string(), ": ", key));
  return number;
}

}  // namespace

Result<void> SaveState(const std::filesystem::path& file, const Parameters& parameters,
                       uint64_t steps) {
  std::vector<TensorOut> tensors;
  std::map<std::string, std::string> metadata = {{"format", kFormat},
                                                 {kSteps, std::to_string(steps)}};
  for (const Parameter& p : parameters.all()) {
    for (const Field& field : kFields)
      tensors.push_back(
          {field.prefix + p.name, DType::kF32, p.shape, std::as_bytes(std::span(p.*field.values))});
    metadata["steps." + p.name] = std::to_string(p.steps);
  }
  return SaveSafetensors(file, tensors, metadata);
}

Result<void> LoadState(const std::filesystem::path& path, Parameters& parameters, uint64_t& steps) {
  FACET_ASSIGN(const std::unique_ptr<Safetensors> file, Safetensors::Open(path));
  const auto format = file->metadata().find("format");
  if (format == file->metadata().end() || format->second != kFormat)
    return Error{Cat(path.string(), ": is not the state of a training run of this version"),
                 ErrorKind::kUnsupported};
  // Everything is checked before anything changes.
  FACET_ASSIGN(const uint64_t saved_steps, Number(*file, kSteps));
  std::vector<uint64_t> counts;  // of the steps in which each tensor had a gradient
  for (const Parameter& p : parameters.all()) {
    for (const Field& field : kFields) {
      FACET_ASSIGN(const Tensor* tensor, file->Get(field.prefix + p.name));
      if (tensor->type != DType::kF32 || tensor->shape != p.shape)
        return Expected(ShapeText(p.shape) + " F32", tensor->Describe(),
                        Cat(path.string(), ": ", tensor->name));
      if (FindNonFinite(DType::kF32, tensor->data.data(), tensor->elements()) >= 0)
        return Error{Cat(path.string(), ": tensor ", tensor->name,
                         ": holds NaN or infinity; resume from an earlier checkpoint, with a lower "
                         "learning rate")};
    }
    FACET_ASSIGN(const uint64_t count, Number(*file, "steps." + p.name));
    counts.push_back(count);
  }
  if (file->tensors().size() != std::size(kFields) * counts.size())
    return Expected(Cat(std::size(kFields) * counts.size(), " tensors"), file->tensors().size(),
                    Cat(path.string(), ": other weights were trained"));
  size_t i = 0;
  for (Parameter& p : parameters.all()) {
    for (const Field& field : kFields) {
      const Tensor& tensor = *file->Find(field.prefix + p.name);
      std::memcpy((p.*field.values).data(), tensor.data.data(), tensor.data.size());
    }
    p.steps = static_cast<int64_t>(counts[i++]);
    p.touched = false;
    std::fill(p.gradient.begin(), p.gradient.end(), 0.0f);
  }
  steps = saved_steps;
  return Ok();
}

}  // namespace facet::tune
