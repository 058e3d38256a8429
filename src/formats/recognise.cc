#include "formats/recognise.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/file_kind.h"
#include "base/mapped_file.h"
#include "base/text.h"
#include "formats/tensor_file.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLiteRtMagic = "LITERTLM";
constexpr std::string_view kLiteRtSuffix = ".litertlm";

struct Equivalent {
  std::string_view word;  // in the lower-case name of a file or repository
  std::string_view safetensors, gguf;
};

// Longer words first: the first match counts.
constexpr std::array<Equivalent, 5> kEquivalents = {{
    {"gemma-4-12b-it", "google/gemma-4-12B-it", "google/gemma-4-12B-it-qat-q4_0-gguf"},
    {"gemma4-12b", "google/gemma-4-12B-it", "google/gemma-4-12B-it-qat-q4_0-gguf"},
    {"gemma-4-12b", "google/gemma-4-12B-it", "google/gemma-4-12B-it-qat-q4_0-gguf"},
    {"gemma-3-270m-it", "", "ggml-org/gemma-3-270m-it-GGUF"},
    {"gemma-3-270m", "", "ggml-org/gemma-3-270m-GGUF"},
}};

// Lower case, with one spelling of word breaks.
std::string Normalized(std::string_view text) {
  std::string out = ToLower(text);
  std::ranges::replace(out, '_', '-');
  return out;
}

// `names`: everything that may tell which model it is.
Error LiteRtRefusal(std::string_view where, std::string_view names) {
  const std::string lower = Normalized(names);
  std::string advice = "import the same model as safetensors or GGUF";
  for (const Equivalent& e : kEquivalents) {
    if (lower.find(e.word) == std::string::npos) continue;
    advice = "the same model works from ";
    if (!e.safetensors.empty()) advice += Cat(e.safetensors, " (safetensors) or ");
    advice += Cat(e.gguf, " (GGUF): facet import --from-huggingface-repo=", e.gguf, " NAME");
    break;
  }
  return {Cat(Printable(where), ": the LiteRT-LM format (.litertlm) is not supported; ", advice),
          ErrorKind::kUnsupported};
}

// What a file that is no model of ours is, and what to do about it.
std::string Describe(const fs::path& path, std::string_view head) {
  const FileKind kind = GuessFileKind(head);
  if (IsKnownFileKind(head)) return Cat("this is ", kind.Text());
  constexpr std::array kUnfinished = {".part",     ".partial", ".incomplete", ".crdownload",
                                      ".download", ".aria2",   ".tmp"};
  const std::string name = ToLower(path.filename().string());
  const bool unfinished =
      std::ranges::any_of(kUnfinished, [&](const char* end) { return name.ends_with(end); });
  if (unfinished) return "its name says that its download did not finish; download it again";
  return Cat("this is ", kind.name, ", neither a GGUF nor a safetensors file");
}

Result<ModelFormat> RecogniseFolder(const fs::path& path) {
  std::error_code code;
  std::string lite;
  std::vector<std::string> ggufs;
  for (fs::directory_iterator it(path, code), end; !code && it != end; it.increment(code)) {
    const std::string name = Normalized(it->path().filename().string());
    if (name.ends_with(".safetensors") || name == "model.safetensors.index.json") {
      return ModelFormat::kSafetensors;
    }
    if (name.ends_with(".gguf")) ggufs.push_back(it->path().filename().string());
    if (name.ends_with(kLiteRtSuffix)) lite = name;
  }
  if (code) return Error{Cat(path.string(), ": ", code.message()), ErrorKind::kIo};
  if (!ggufs.empty()) {
    std::ranges::sort(ggufs);
    return Error{
        Cat(path.string(), ": a folder of GGUF files; name one of them, for example ", ggufs[0])};
  }
  if (!lite.empty()) return LiteRtRefusal(path.string(), (path / lite).string());
  return Error{Cat(path.string(), ": no .safetensors or .gguf file in this folder"),
               ErrorKind::kNotFound};
}

}  // namespace

Result<ModelFormat> RecogniseModel(const fs::path& path) {
  std::error_code code;
  const fs::file_status status = fs::status(path, code);
  if (!fs::exists(status))
    return Error{Cat(path.string(), ": no such file or folder"), ErrorKind::kNotFound};
  if (fs::is_directory(status)) return RecogniseFolder(path);
  FACET_ASSIGN(const Descriptor file, OpenFile(path));
  std::string head(kFileKindBytes, '\0');
  const ssize_t read = pread(file.get(), head.data(), head.size(), 0);
  if (read < 0) return SystemError(errno, path.string());
  head.resize(static_cast<size_t>(read));

  if (head.starts_with("GGUF")) return ModelFormat::kGguf;
  // A hub cache links the name to a blob: look at both.
  if (head.starts_with(kLiteRtMagic) || Normalized(path.string()).ends_with(kLiteRtSuffix)) {
    return LiteRtRefusal(path.string(), fs::absolute(path, code).string());
  }
  // An 8-byte length, then the JSON header.
  if (head.size() > 8 && head[8] == '{') return ModelFormat::kSafetensors;
  if (path.filename() == "model.safetensors.index.json") return ModelFormat::kSafetensors;
  return Error{Cat(path.string(), ": ", Describe(path, head)), ErrorKind::kUnsupported};
}

Result<void> CheckRepository(std::string_view repo, const std::vector<std::string>& files) {
  std::string names(repo);
  bool lite = false, ours = false;
  for (const std::string& file : files) {
    const std::string name = Normalized(file);
    if (name.ends_with(kLiteRtSuffix)) {
      lite = true;
      names += Cat(" ", file);
    }
    ours = ours || name.ends_with(".gguf") || name.ends_with(".safetensors");
  }
  if (lite && !ours) return LiteRtRefusal(repo, names);
  return Ok();
}

}  // namespace facet
