#include "model/convert.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <set>

#include "base/checked.h"
#include "base/patch.h"
#include "base/thread_pool.h"
#include "formats/recognise.h"
#include "model/convert_plan.h"
#include "model/generation_config.h"
#include "model/weights.h"
#include "ops/quant/quant.h"
#include "text/vocabulary_export.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kChunkElements = 1 << 21;

// A source that was opened and checked, and what shall be written of it.
struct Job {
  Checkpoint folder;           // of a folder
  std::unique_ptr<Gguf> gguf;  // or one file
  TensorPlan plan;

  const TensorFile& file() const {
    if (gguf) return *gguf;
    return *folder.text;
  }
};

Result<void> CheckType(DType type) {
  constexpr DType kTypes[] = {DType::kF32,  DType::kF16,  DType::kBF16,
                              DType::kQ8_0, DType::kQ4_0, DType::kQ4_K};
  if (std::ranges::find(kTypes, type) != std::end(kTypes)) return Ok();
  return Error{
      Expected("weight type F32, F16, BF16, Q8_0, Q4_0 or Q4_K", Traits(type).name, "convert")
          .message,
      ErrorKind::kUnsupported};
}

// Every tensor of a folder has a place in one of its GGUF files: nothing is lost without a word.
Result<void> CheckAllPlanned(const TensorFile& source,
                             const std::vector<const TensorPlan*>& plans) {
  std::set<const Tensor*> planned;
  for (const TensorPlan* plan : plans) {
    for (const PlannedTensor& tensor : *plan) planned.insert(tensor.source);
  }
  for (const Tensor& tensor : source.tensors()) {
    if (planned.contains(&tensor) || tensor.name == kHeadName) continue;
    return Error{Cat(source.path().string(), ": tensor ", Printable(tensor.name), " ",
                     tensor.Describe(), " has no place in a GGUF"),
                 ErrorKind::kUnsupported};
  }
  return Ok();
}

Result<Job> OpenFolder(const ConvertOptions& options) {
  Job job;
  FACET_ASSIGN(job.folder, LoadCheckpoint(options.source, std::nullopt));
  const ModelConfig& config = job.folder.config;
  const std::string where = options.source.string();
  if ((options.part == ConvertPart::kDrafter) != config.drafter.has_value()) {
    return Expected(options.part == ConvertPart::kDrafter ? "a drafter" : "a model",
                    config.drafter ? "a drafter" : "a model", where);
  }
  if (options.part == ConvertPart::kProjector && !config.vision && !config.audio) {
    return Error{
        Cat(where, ": this model takes neither pictures nor sound, so it has no projector"),
        ErrorKind::kNotFound};
  }
  const TypeRule types = MakeTypeRule(options.type, config.text);
  FACET_ASSIGN(TensorPlan text, PlanText(*job.folder.text, config, types));
  FACET_ASSIGN(TensorPlan projector, PlanProjector(*job.folder.text, config, types));
  FACET_TRY(CheckAllPlanned(*job.folder.text, {&text, &projector}));
  job.plan = std::move(options.part == ConvertPart::kProjector ? projector : text);
  return job;
}

Result<Job> OpenGguf(const ConvertOptions& options) {
  if (!options.vocabulary.empty()) {
    return Error{Cat(options.vocabulary.string(), ": a GGUF source brings its own vocabulary")};
  }
  Job job;
  FACET_ASSIGN(job.gguf, Gguf::Open(options.source));
  FACET_ASSIGN(const std::string_view arch, job.gguf->Architecture());
  const auto expect = [&](std::initializer_list<std::string_view> names,
                          const char* what) -> Result<void> {
    if (std::ranges::find(names, arch) != names.end()) return Ok();
    return Expected(what, Cat("architecture \"", Printable(arch), "\""), options.source.string());
  };
  TextConfig text;
  if (options.part == ConvertPart::kProjector) {
    FACET_TRY(expect({"clip"}, "a projector file (architecture clip)"));
    ModelConfig config;
    FACET_TRY(AddProjectorConfig(*job.gguf, config));
  } else {
    if (options.part == ConvertPart::kDrafter) {
      FACET_TRY(expect({"gemma4-assistant"}, "a drafter file (architecture gemma4-assistant)"));
    } else {
      FACET_TRY(expect({"gemma4", "gemma3"}, "a model file (architecture gemma4 or gemma3)"));
    }
    FACET_ASSIGN(const ModelConfig config, ConfigFromGguf(*job.gguf));
    text = config.text;
  }
  job.plan = PlanSame(*job.gguf, MakeTypeRule(options.type, text));
  return job;
}

Result<Job> OpenJob(const ConvertOptions& options) {
  FACET_TRY(CheckType(options.type));
  FACET_ASSIGN(const ModelFormat format, RecogniseModel(options.source));
  if (format == ModelFormat::kGguf) return OpenGguf(options);
  return OpenFolder(options);
}

uint64_t TotalBytes(const TensorPlan& plan) {
  uint64_t total = 0;
  // A source's sizes are bounded by its files; a sum of their multiples stays far below 2^64.
  for (const PlannedTensor& tensor : plan)
    total += TensorBytes(tensor.type, tensor.shape).value_or(0);
  return total;
}

uint64_t Parameters(const TensorPlan& plan) {
  uint64_t count = 0;
  for (const PlannedTensor& tensor : plan)
    count += TensorBytes(DType::kI8, tensor.shape).value_or(0);
  return count;
}

Result<void> SetVocabularyKeys(const ConvertOptions& options, const Job& job, GgufWriter& writer) {
  VocabularyExport vocabulary{options.vocabulary.empty() ? options.source : options.vocabulary,
                              job.folder.config.text.vocab, options.part == ConvertPart::kModel};
  std::error_code code;
  if (options.vocabulary.empty() && !fs::exists(options.source / "tokenizer.json", code)) {
    return Error{Cat(options.source.string(),
                     ": no tokenizer.json; name the folder or GGUF that has the tokenizer",
                     options.part == ConvertPart::kDrafter ? " (the target model's)" : ""),
                 ErrorKind::kNotFound};
  }
  return SetVocabulary(vocabulary, writer);
}

Result<void> SetKeys(const ConvertOptions& options, const Job& job, GgufWriter& writer) {
  const std::string name = options.name.empty()
                               ? fs::absolute(options.source).lexically_normal().filename().string()
                               : options.name;
  if (job.gguf) {
    for (const auto& [key, value] : job.gguf->metadata()) {
      if (key != "general.alignment") writer.Copy(key, value);
    }
    if (!options.name.empty()) writer.Set("general.name", name);
  } else {
    if (options.part == ConvertPart::kProjector) {
      SetProjectorKeys(job.folder.config, writer);
    } else {
      SetTextKeys(job.folder.config, writer);
    }
    writer.Set("general.name", name);
    writer.Set("general.size_label", SizeLabel(Parameters(job.plan)));
    if (options.part == ConvertPart::kModel)
      SetGenerationKeys(job.folder.config.generation, writer);
    if (options.part != ConvertPart::kProjector) FACET_TRY(SetVocabularyKeys(options, job, writer));
  }
  writer.Set("general.file_type", FileType(options.type));
  writer.Set("general.quantization_version", uint32_t{2});
  return Ok();
}

// Writes planned tensors one after the other, a few megabytes of rows at a time.
class TensorStream {
 public:
  TensorStream(const ConvertOptions& options, const Job& job, GgufWriter& writer)
      : options_(options),
        file_(job.file()),
        writer_(writer),
        pool_(options.threads),
        total_(TotalBytes(job.plan)) {}

  Result<void> Write(const PlannedTensor& tensor) {
    switch (tensor.order) {
      case RowOrder::kGenerated:
        return Emit(std::as_bytes(std::span(tensor.values)));
      case RowOrder::kIntegers:
        return WriteIntegers(tensor);
      default:
        break;
    }
    if (tensor.order == RowOrder::kSame && tensor.type == tensor.source->type &&
        Merged(tensor) == nullptr)
      return WriteBytes(tensor);
    return WriteRows(tensor);
  }

 private:
  // What an adapter adds to this tensor; null for nothing.
  const LoraPair* Merged(const PlannedTensor& tensor) const {
    return options_.adapter == nullptr ? nullptr : options_.adapter->Find(tensor.source->name);
  }

  Result<void> Emit(std::span<const std::byte> bytes) {
    FACET_TRY(writer_.Append(bytes));
    done_ += bytes.size();
    if (options_.progress && !options_.progress(done_, total_)) {
      return Error{"stopped", ErrorKind::kCancelled};
    }
    return Ok();
  }

  // Source pages that were read are given back, so that memory holds no second copy of a large
  // model.
  void Drop(const Tensor& tensor, size_t begin, size_t count) const {
    Tensor part;
    part.data = tensor.data.subspan(begin, count);
    file_.Drop(part);
  }

  // Weights that are copied as they are; `at` and `count` in bytes, of whole blocks.
  Result<void> CheckPiece(const Tensor& source, size_t at, size_t count) const {
    const DTypeTraits traits = Traits(source.type);
    const auto n = static_cast<int64_t>(count / traits.bytes * traits.block);
    const int64_t bad = FindNonFinite(source.type, source.data.data() + at, n);
    if (bad < 0) return Ok();
    const auto first = static_cast<int64_t>(at / traits.bytes * traits.block);
    return NotFinite(file_, source.name, (first + bad) / source.cols());
  }

  Result<void> WriteBytes(const PlannedTensor& tensor) {
    const size_t block = Traits(tensor.source->type).bytes, kPiece = (16 << 20) / block * block;
    const std::span<const std::byte> data = tensor.source->data;
    for (size_t at = 0; at < data.size(); at += kPiece) {
      const size_t count = std::min(kPiece, data.size() - at);
      FACET_TRY(CheckPiece(*tensor.source, at, count));
      FACET_TRY(Emit(data.subspan(at, count)));
      Drop(*tensor.source, at, count);
    }
    return Ok();
  }

  Result<void> WriteIntegers(const PlannedTensor& tensor) {
    const Tensor& source = *tensor.source;
    if (source.type == DType::kI32) return WriteBytes(tensor);
    std::vector<int32_t> ids(source.elements());
    for (size_t i = 0; i < ids.size(); ++i) {
      int64_t id;
      std::memcpy(&id, source.data.data() + i * sizeof(id), sizeof(id));
      const auto narrow = CheckedCast<int32_t>(id);
      if (!narrow) return Expected("an id below 2^31", id, Where(tensor));
      ids[i] = *narrow;
    }
    return Emit(std::as_bytes(std::span(ids)));
  }

  std::string Where(const PlannedTensor& tensor) const {
    return Cat(file_.path().string(), ": tensor ", Printable(tensor.source->name));
  }

  // Row of the source that becomes row `r`.
  static int64_t SourceRow(const PlannedTensor& tensor, int64_t r) {
    if (tensor.order != RowOrder::kPositionTables) return r;
    const int64_t positions = tensor.shape[1];
    return r % positions * 2 + r / positions;
  }

  Result<void> WriteRows(const PlannedTensor& tensor) {
    const Tensor& source = *tensor.source;
    const int64_t cols = source.cols(), rows = source.rows();
    const size_t in_bytes = RowBytes(source.type, cols), out_bytes = RowBytes(tensor.type, cols);
    const int64_t chunk = std::clamp<int64_t>(kChunkElements / cols, 1, rows);
    const LoraPair* merged = Merged(tensor);
    buffer_.resize(chunk * out_bytes);
    for (int64_t begin = 0; begin < rows; begin += chunk) {
      const int64_t count = std::min(chunk, rows - begin);
      std::atomic<int64_t> bad = -1;
      pool_.ParallelFor(count, [&](int64_t i) {
        std::byte* out = buffer_.data() + i * out_bytes;
        const std::byte* in = source.data.data() + SourceRow(tensor, begin + i) * in_bytes;
        if (!WriteRow(tensor, merged, begin + i, out, in)) bad = begin + i;
      });
      if (bad >= 0) {
        return Error{Cat(Where(tensor), ", row ", bad.load(),
                         ": a weight is not a finite number that ", Traits(tensor.type).name,
                         " can hold")};
      }
      FACET_TRY(Emit(std::span(buffer_).first(count * out_bytes)));
      if (tensor.order != RowOrder::kPositionTables)
        Drop(source, begin * in_bytes, count * in_bytes);
    }
    return Ok();
  }

  // False where a weight is not finite or beyond the type.
  static bool WriteRow(const PlannedTensor& tensor, const LoraPair* merged, int64_t at,
                       std::byte* out, const std::byte* in) {
    // Half is also the type of the scales of blocks.
    const float limit =
        tensor.type == DType::kF32 || tensor.type == DType::kBF16 ? 3e38f : 65504.0f;
    const int64_t cols = tensor.source->cols();
    thread_local std::vector<float> row, permuted;
    row.resize(cols);
    DequantizeRow(tensor.source->type, in, row);
    if (merged != nullptr) MergeRow(*merged, at, row);
    for (const float x : row) {
      if (!(std::fabs(x) <= limit)) return false;
    }
    if (tensor.order != RowOrder::kPatchColumns) {
      QuantizeRow(tensor.type, row, out);
      return true;
    }
    permuted.resize(cols);
    constexpr int64_t area = kPatchSide * kPatchSide;
    for (int64_t i = 0; i < cols; ++i) permuted[i] = row[i % area * kPatchChannels + i / area];
    QuantizeRow(tensor.type, permuted, out);
    return true;
  }

  const ConvertOptions& options_;
  const TensorFile& file_;
  GgufWriter& writer_;
  ThreadPool pool_;
  uint64_t done_ = 0, total_;
  std::vector<std::byte> buffer_;
};

}  // namespace

Result<void> ConvertToGguf(const ConvertOptions& options) {
  FACET_ASSIGN(const Job job, OpenJob(options));
  GgufWriter writer;
  FACET_TRY(SetKeys(options, job, writer));
  for (const PlannedTensor& tensor : job.plan)
    writer.Declare(tensor.name, tensor.type, tensor.shape);
  FACET_TRY(writer.Begin(options.output));
  TensorStream stream(options, job, writer);
  for (const PlannedTensor& tensor : job.plan) FACET_TRY(stream.Write(tensor));
  return writer.Finish();
}

}  // namespace facet
