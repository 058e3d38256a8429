#include "tune/data/data.h"

#include <algorithm>
#include <charconv>
#include <mutex>

#include "base/file_kind.h"
#include "base/math.h"
#include "base/text.h"
#include "base/thread_pool.h"
#include "tune/data/seed.h"

namespace facet::tune {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kRowsAtOnce = 4;  // that one thread takes

bool IsBlank(std::string_view line) {
  return Trim(line, " \t\r\n").empty();
}

// Data of another kind is one error, not one for its first line.
Result<void> CheckIsText(const fs::path& path, std::string_view all) {
  const std::string_view head = all.substr(0, kFileKindBytes);
  const FileKind kind = GuessFileKind(head);
  const bool readable = head.empty() || kind.name == "text" || kind.name == "JSON";
  if (readable && !IsKnownFileKind(head)) return Ok();
  return Error{Cat(path.string(), ": expected JSON lines but got ", kind.Text()),
               ErrorKind::kUnsupported};
}

}  // namespace

Result<DataFile> ParseDataFile(const std::string& argument) {
  std::error_code code;
  const size_t colon = argument.rfind(':');
  if (fs::exists(argument, code) || colon == argument.npos) return DataFile{argument, 1};
  const char* begin = argument.data() + colon + 1;
  const char* end = argument.data() + argument.size();
  DataFile file{argument.substr(0, colon), 0};
  const auto [stop, error] = std::from_chars(begin, end, file.weight);
  if (error != std::errc() || stop != end) return DataFile{argument, 1};
  if (!(file.weight >= 0.001 && file.weight <= 1000))
    return Expected("a weight of 0.001 to 1000", argument.substr(colon + 1), argument);
  return file;
}

// --- DataSet

std::string_view DataSet::Lines::Text(size_t row) const {
  const auto bytes = file.bytes();
  const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::string_view rest = all.substr(begin[row]);
  return rest.substr(0, rest.find('\n'));
}

DataSet::DataSet(const Renderer& renderer, DataOptions options)
    : renderer_(renderer), options_(std::move(options)) {
  const int context = renderer.context();
  options_.max_tokens = options_.max_tokens > 0 ? std::min(options_.max_tokens, context) : context;
}

Result<void> DataSet::AddLines(const fs::path& path) {
  Lines lines;
  FACET_ASSIGN(lines.file, MappedFile::Open(path));
  const auto bytes = lines.file.bytes();
  const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  FACET_TRY(CheckIsText(path, all));
  uint32_t number = 0;
  for (size_t at = 0; at < all.size();) {
    const size_t end = std::min(all.find('\n', at), all.size());
    ++number;
    if (!IsBlank(all.substr(at, end - at))) {
      lines.begin.push_back(at);
      lines.number.push_back(number);
    }
    at = end + 1;
  }
  if (lines.begin.empty()) return Error{Cat(path.string(), ": has no examples")};
  if (Trim(lines.Text(0)).starts_with('[')) {
    return Error{Cat(path.string(), ": expected JSON lines but got one JSON list; turn it into ",
                     "lines with: jq -c '.[]'")};
  }
  lines_.push_back(std::move(lines));
  return Ok();
}

std::string DataSet::Where(uint32_t file, uint32_t row) const {
  return Cat(files_[file].path.string(), ":", lines_[file].number[row]);
}

std::string DataSet::Where(const Entry& entry) const {
  return Where(entry.file, entry.row);
}

Result<std::vector<Example>> DataSet::Read(uint32_t file, uint32_t row, MediaUse use) const {
  const std::string where = Where(file, row);
  auto read = ReadRow(lines_[file].Text(row), files_[file].path.parent_path(), options_.row);
  if (!read) return read.error().In(where);
  auto examples = renderer_.Examples(*read, use);
  if (!examples) return examples.error().In(where);
  for (Example& example : *examples) example.where = where;
  return examples;
}

Result<std::vector<DataSet::Entry>> DataSet::Measure(uint32_t file, uint32_t row) const {
  FACET_ASSIGN(const std::vector<Example> examples, Read(file, row, MediaUse::kMeasure));
  std::vector<Entry> entries;
  for (size_t i = 0; i < examples.size(); ++i) {
    const Example& example = examples[i];
    if (static_cast<int64_t>(example.tokens.size()) > options_.max_tokens) {
      return Error{Cat(Where(file, row), ": the example has ", example.tokens.size(),
                       " tokens, more than the ", options_.max_tokens,
                       " that fit; it is not cut: shorten it or leave it out"),
                   ErrorKind::kResource};
    }
    Entry entry;
    entry.file = file;
    entry.row = row;
    entry.part = static_cast<uint16_t>(i);
    entry.tokens = static_cast<int32_t>(example.tokens.size());
    if (std::count(example.labelled.begin(), example.labelled.end(), 1) == 0)
      return Error{Cat(Where(file, row), ": nothing to learn")};
    entry.labelled = Count(example);
    entry.media = !example.items.empty();
    entries.push_back(entry);
  }
  return entries;
}

int32_t DataSet::Count(const Example& example) const {
  if (options_.count) return options_.count(example);
  return static_cast<int32_t>(std::count(example.labelled.begin(), example.labelled.end(), 1));
}

// Rows are measured by several threads; entries and the error are those of the rows' order.
Result<void> DataSet::MeasureAll() {
  std::vector<std::pair<uint32_t, uint32_t>> rows;  // file, row
  for (uint32_t file = 0; file < lines_.size(); ++file) {
    for (uint32_t row = 0; row < lines_[file].begin.size(); ++row) rows.emplace_back(file, row);
  }
  const auto all = static_cast<int64_t>(rows.size());
  std::vector<std::vector<Entry>> measured(rows.size());
  std::mutex mutex;
  int64_t done = 0, failed = all;
  std::optional<Error> error;
  const auto cancelled = [&] {
    return options_.cancelled != nullptr && options_.cancelled->load();
  };
  const auto measure = [&](int64_t i) {
    std::unique_lock lock(mutex);
    if (i > failed || cancelled()) return;
    lock.unlock();
    auto entries = Measure(rows[i].first, rows[i].second);
    lock.lock();
    if (entries.ok()) {
      measured[i] = *std::move(entries);
    } else if (i < failed) {
      failed = i;
      error = entries.error();
    }
    if (options_.progress) options_.progress(++done, all);
  };
  ThreadPool pool(options_.threads);
  pool.ParallelFor(DivideUp(all, kRowsAtOnce), [&](int64_t block) {
    const int64_t end = std::min(all, (block + 1) * kRowsAtOnce);
    for (int64_t i = block * kRowsAtOnce; i < end; ++i) measure(i);
  });
  if (error) return *error;
  if (cancelled()) return Error{"interrupted", ErrorKind::kCancelled};
  for (const auto& entries : measured)
    entries_.insert(entries_.end(), entries.begin(), entries.end());
  return Ok();
}

Result<std::unique_ptr<DataSet>> DataSet::Open(std::vector<DataFile> files,
                                               const Renderer& renderer,
                                               const DataOptions& options) {
  auto data = std::unique_ptr<DataSet>(new DataSet(renderer, options));
  data->files_ = std::move(files);
  for (const DataFile& file : data->files_) FACET_TRY(data->AddLines(file.path));
  FACET_TRY(data->MeasureAll());
  return data;
}

int64_t DataSet::rows() const {
  int64_t count = 0;
  for (const Lines& lines : lines_) count += static_cast<int64_t>(lines.begin.size());
  return count;
}

int64_t DataSet::tokens() const {
  int64_t sum = 0;
  for (const Entry& entry : entries_) sum += entry.tokens;
  return sum;
}

int64_t DataSet::labelled() const {
  int64_t sum = 0;
  for (const Entry& entry : entries_) sum += entry.labelled;
  return sum;
}

int32_t DataSet::longest() const {
  int32_t most = 0;
  for (const Entry& entry : entries_) most = std::max(most, entry.tokens);
  return most;
}

uint64_t DataSet::Fingerprint() const {
  uint64_t hash = 0xcbf29ce484222325ULL;
  const auto add = [&](uint64_t value) { hash = (hash ^ value) * 0x100000001b3ULL; };
  for (const Lines& lines : lines_) add(lines.file.bytes().size());
  // Other pixels of the same size.
  if (options_.row.media.limits.transparency != media::Transparency::kWhite) add(1);
  for (const Entry& e : entries_) {
    for (const uint64_t value : {uint64_t{e.file}, uint64_t{e.row}, uint64_t{e.part},
                                 uint64_t(e.tokens), uint64_t(e.labelled)}) {
      add(value);
    }
  }
  for (const GeneratedAnswer& answer : answers_) {
    for (const TokenId token : answer.tokens) add(static_cast<uint64_t>(token));
  }
  return hash;
}

Result<Example> DataSet::Build(size_t index) const {
  const Entry& entry = entries_[index];
  if (entry.answer < 0) return BuildRead(entry);
  const GeneratedAnswer& answer = answers_[entry.answer];
  FACET_ASSIGN(Example example, BuildRead(read_[answer.entry]));
  example.tokens.resize(answer.begin);
  example.tokens.insert(example.tokens.end(), answer.tokens.begin(), answer.tokens.end());
  example.labelled.assign(example.tokens.size(), 0);
  std::fill(example.labelled.begin() + answer.begin, example.labelled.end(), uint8_t{1});
  std::erase_if(example.items, [&](const auto& item) { return item->begin >= answer.begin; });
  return example;
}

Result<void> DataSet::SetAnswers(std::vector<GeneratedAnswer> answers) {
  read_ = std::move(entries_);
  answers_ = std::move(answers);
  entries_.clear();
  for (size_t i = 0; i < answers_.size(); ++i) {
    const GeneratedAnswer& answer = answers_[i];
    Entry entry = read_[answer.entry];
    const bool same_row =
        i > 0 && entries_.back().file == entry.file && entries_.back().row == entry.row;
    entry.part = static_cast<uint16_t>(same_row ? entries_.back().part + 1 : 0);
    entry.tokens = answer.begin + static_cast<int32_t>(answer.tokens.size());
    entry.answer = static_cast<int32_t>(i);
    Example labels;
    labels.labelled.assign(entry.tokens, 0);
    std::fill(labels.labelled.begin() + answer.begin, labels.labelled.end(), uint8_t{1});
    entry.labelled = Count(labels);
    entries_.push_back(entry);
  }
  if (entries_.empty()) return Error{"the model has no answer to learn from"};
  return Ok();
}

Result<Example> DataSet::BuildRead(const Entry& entry) const {
  FACET_ASSIGN(std::vector<Example> examples, Read(entry.file, entry.row, MediaUse::kDecode));
  const bool same = entry.part < examples.size() &&
                    static_cast<int32_t>(examples[entry.part].tokens.size()) == entry.tokens;
  if (!same) return Error{Cat(Where(entry), ": changed while it was being read"), ErrorKind::kIo};
  return std::move(examples[entry.part]);
}

Result<Split> SplitByRow(const DataSet& data, double fraction, uint64_t seed) {
  const auto& entries = data.entries();
  std::vector<uint32_t> first;  // entry with which each row begins
  for (uint32_t i = 0; i < entries.size(); ++i) {
    if (entries[i].part == 0) first.push_back(i);
  }
  Split split;
  const auto wanted = static_cast<size_t>(fraction * static_cast<double>(first.size()) + 0.5);
  const size_t count = fraction > 0 ? std::max<size_t>(wanted, 1) : 0;
  if (count > 0 && count >= first.size()) {
    return Expected(Cat("a validation part that leaves something of ", first.size(), " rows"),
                    fraction, "--validation");
  }
  std::vector<uint32_t> order(first.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  Shuffle(order, MixSeed(seed, 0x5911));
  std::vector<uint8_t> held_out(first.size(), 0);
  for (size_t i = 0; i < count; ++i) held_out[order[i]] = 1;
  for (size_t row = 0; row < first.size(); ++row) {
    const size_t end = row + 1 < first.size() ? first[row + 1] : entries.size();
    for (size_t i = first[row]; i < end; ++i)
      (held_out[row] ? split.validation : split.train).push_back(static_cast<uint32_t>(i));
  }
  return split;
}

}  // namespace facet::tune
