#include "cli/commands/conform_case.h"

#include "chat/load_template.h"
#include "cli/terminal/resolve.h"
#include "formats/json.h"

namespace facet::cli {

namespace fs = std::filesystem;
using nlohmann::json;

void TensorOutput::AddFloats(const std::string& name, std::vector<int64_t> shape,
                             const std::vector<float>& values) {
  AddTensor(name, DType::kF32, std::move(shape), values.data(), values.size() * sizeof(float));
}

void TensorOutput::AddInts(const std::string& name, std::vector<int64_t> shape,
                           const std::vector<int32_t>& values) {
  AddTensor(name, DType::kI32, std::move(shape), values.data(), values.size() * sizeof(int32_t));
}

void TensorOutput::AddBytes(const std::string& name, std::vector<int64_t> shape,
                            const std::vector<uint8_t>& values) {
  AddTensor(name, DType::kU8, std::move(shape), values.data(), values.size());
}

void TensorOutput::AddTensor(const std::string& name, DType type, std::vector<int64_t> shape,
                             const void* data, size_t bytes) {
  const auto* begin = static_cast<const std::byte*>(data);
  tensors_.push_back({name, type, std::move(shape), {begin, begin + bytes}});
}

Result<void> TensorOutput::Save(const fs::path& path) const {
  std::vector<TensorOut> tensors;
  for (const OwnedTensor& t : tensors_) tensors.push_back({t.name, t.type, t.shape, t.data});
  return SaveSafetensors(path, tensors);
}

Result<ConformCase> ReadCase(const ConformOptions& options) {
  ConformCase out;
  FACET_ASSIGN(out.request, ReadJson(options.case_file));
  if (!out.request.is_object())
    return Error{Cat(options.case_file.string(), ": not a JSON object")};
  FACET_ASSIGN(out.files, ResolveModel(options.model));
  if (!options.mmproj.empty()) out.files.mmproj = options.mmproj;
  FACET_ASSIGN(out.tokenizer, Tokenizer::Load(out.files.model));
  return out;
}

MediaOptions MediaOfCase(const json& request) {
  MediaOptions media;
  media.limits.transparency = media::Transparency::kDropped;  // as the reference does
  if (request.contains("image_budget")) media.image_budget = request["image_budget"].get<int>();
  if (request.contains("video_budget")) media.video_budget = request["video_budget"].get<int>();
  return media;
}

Result<Prompt> PromptOfCase(const ConformOptions& options, const ConformCase& input,
                            const ModelConfig& config) {
  const json& request = input.request;
  const fs::path& model = input.files.model;
  const Tokenizer& tokenizer = *input.tokenizer;
  if (request.contains("text") && request["text"].is_string())
    return RawPrompt(tokenizer, request["text"]);
  if (!request.contains("messages"))
    return Error{Cat(options.case_file.string(), ": has neither messages nor text")};
  FACET_ASSIGN(const std::optional<ChatTemplate> chat_template, LoadChatTemplate(model, tokenizer));
  if (!chat_template)
    return Error{Cat(model.string(), ": has no chat template"), ErrorKind::kUnsupported};
  PromptRequest prompt;
  prompt.messages = request["messages"];
  prompt.tools = request.value("tools", json());
  prompt.render.add_generation_prompt = options.grad.empty();  // else the answer is there
  prompt.render.enable_thinking = request.value("enable_thinking", false);
  prompt.media = MediaOfCase(request);
  prompt.load = [&](const nlohmann::ordered_json& part) -> Result<MediaSource> {
    if (!part.contains("path") || !part["path"].is_string())
      return Error{"a media part needs a path"};
    return ReadMediaFile(options.media / part["path"].get<std::string>());
  };
  return BuildPrompt(config, tokenizer, *chat_template, std::move(prompt));
}

}  // namespace facet::cli
