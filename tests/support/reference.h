// Cases of the reference implementation: the request, and what it must give.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/mapped_file.h"
#include "chat/load_template.h"
#include "engine/prompt.h"
#include "formats/safetensors.h"
#include "model/drafter.h"
#include "support/vocabularies.h"

namespace facet {

// Where a model of the tests lies.
struct TestModel {
  std::string name, model, mmproj, drafter;
};

inline const TestModel& TinyFolder() {
  static const TestModel model{"safetensors", "tiny/checkpoint", "", "tiny/checkpoint-assistant"};
  return model;
}
inline const TestModel& TinyGguf() {
  static const TestModel model{"gguf", "tiny/gguf/model-f32.gguf", "tiny/gguf/mmproj-f32.gguf",
                               "tiny/gguf/assistant-f32.gguf"};
  return model;
}

// The value, or the end of this test, not of its binary: gtest reports what is thrown.
template <typename T>
T Take(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.error().message);
  return std::move(result).value();
}

// A model in float32 with its tokenizer and template.
struct LoadedReference {
  std::unique_ptr<Model> model;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat_template;
};

inline LoadOptions PlainOptions(const std::filesystem::path& path,
                                const std::filesystem::path& mmproj = {}) {
  LoadOptions options;
  options.model = path;
  if (!mmproj.empty()) options.mmproj = mmproj;
  options.precision = Precision::kPlain;
  options.cache = CacheType::kF32;
  options.compact_cache = false;
  return options;
}

inline LoadedReference Load(const LoadOptions& options, ThreadPool& pool) {
  UseTestCache();
  LoadedReference out;
  out.model = Take(Model::Load(options, pool));
  out.tokenizer = Take(Tokenizer::Load(options.model));
  out.chat_template = Take(LoadChatTemplate(options.model, *out.tokenizer));
  return out;
}

inline LoadedReference Load(const TestModel& files, ThreadPool& pool) {
  return Load(PlainOptions(Reference(files.model), files.mmproj.empty() ? std::filesystem::path()
                                                                        : Reference(files.mmproj)),
              pool);
}

// The prompt of tiny/cases/NAME.json.
inline Prompt CasePrompt(const LoadedReference& loaded, const std::string& name) {
  const auto request =
      nlohmann::json::parse(Take(ReadFile(Reference("tiny/cases/" + name + ".json"))));
  PromptRequest prompt;
  prompt.messages = request["messages"];
  prompt.tools = request.value("tools", nlohmann::json());
  prompt.render.enable_thinking = request.value("enable_thinking", false);
  prompt.media.image_budget = request.value("image_budget", 280);
  prompt.media.video_budget = request.value("video_budget", 70);
  prompt.load = [](const nlohmann::ordered_json& part) {
    return ReadMediaFile(Reference("tiny/media/" + part["path"].get<std::string>()));
  };
  return Take(
      BuildPrompt(loaded.model->config(), *loaded.tokenizer, *loaded.chat_template, prompt));
}

// Expected tensors of a safetensors file.
class Expectation {
 public:
  explicit Expectation(const std::string& path) : file_(Take(Safetensors::Open(Reference(path)))) {}
  bool Has(const std::string& name) const { return file_->Find(name) != nullptr; }
  std::vector<int32_t> Ints(const std::string& name) const { return Values<int32_t>(name); }
  ConstMat Floats(const std::string& name) const {
    const Tensor* tensor = Take(file_->Get(name));
    return {reinterpret_cast<const float*>(tensor->data.data()), tensor->rows(), tensor->cols()};
  }

 private:
  template <typename T>
  std::vector<T> Values(const std::string& name) const {
    const Tensor* tensor = Take(file_->Get(name));
    std::vector<T> out(tensor->elements());
    std::memcpy(out.data(), tensor->data.data(), out.size() * sizeof(T));
    return out;
  }
  std::unique_ptr<Safetensors> file_;
};

// States after the final norm of every position of a prompt read in chunks of at most `chunk`
// tokens.
inline Buffer ReadAll(Model& model, const Prompt& prompt, int chunk, KvSequence& sequence) {
  const EmbeddedMedia media = Take(EmbedMedia(model, prompt.items));
  const int total = static_cast<int>(prompt.ids.size()), width = model.config().text.width;
  Buffer all(total, width), piece;
  for (int at = 0; at < total;) {
    const int count = ChunkLength(prompt.Pictures(), at, total, chunk);
    const Chunk part{&sequence, std::span(prompt.ids).subspan(at, count), media.runs, count};
    const Result<void> done = model.Forward({&part, 1}, piece);
    EXPECT_TRUE(done.ok()) << done.error().message;
    if (!done.ok()) return all;
    sequence.Commit(count);
    std::memcpy(all.view().row(at), piece.view().data(), sizeof(float) * count * width);
    at += count;
  }
  return all;
}

inline Buffer AllLogits(Model& model, const Buffer& hidden) {
  Buffer logits(hidden.rows(), model.config().text.vocab);
  model.Logits(hidden, logits);
  return logits;
}

inline float LargestDifference(ConstMat a, ConstMat b) {
  EXPECT_EQ(a.rows(), b.rows());
  EXPECT_EQ(a.cols(), b.cols());
  float largest = 0;
  for (int64_t r = 0; r < a.rows(); ++r) {
    for (int64_t c = 0; c < a.cols(); ++c)
      largest = std::max(largest, std::fabs(a(r, c) - b(r, c)));
  }
  return largest;
}

inline bool SameBits(const Buffer& a, const Buffer& b) {
  return a.rows() == b.rows() && a.cols() == b.cols() &&
         std::memcmp(a.view().data(), b.view().data(), sizeof(float) * a.rows() * a.cols()) == 0;
}

}  // namespace facet
