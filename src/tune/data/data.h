// Files of examples: indexed once, rendered and decoded again whenever one is needed.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "tune/data/mask.h"

namespace facet::tune {

// A file of JSON lines, and how often each of its rows occurs in an epoch: 2 is twice, 0.3 a
// different three tenths each time.
struct DataFile {
  std::filesystem::path path;
  double weight = 1;
};

// "FILE" or "FILE:WEIGHT".
Result<DataFile> ParseDataFile(const std::string& argument);

struct DataOptions {
  RowOptions row;
  int max_tokens = 0;  // longest example; 0: the model's context
  int threads = 1;     // that index
  // What an example's loss is summed over; null: its labelled tokens.
  std::function<int32_t(const Example&)> count = {};
  std::function<void(int64_t done, int64_t all)> progress;  // rows
  const std::atomic<bool>* cancelled = nullptr;
};

// An answer that a model generated, in place of the data's own after the first `begin` tokens of an
// example.
struct GeneratedAnswer {
  uint32_t entry = 0;  // of DataSet::entries, as they were read
  int32_t begin = 0;
  std::vector<TokenId> tokens;
};

class DataSet {
 public:
  // One example, by where it comes from: examples of a row are numbered.
  struct Entry {
    uint32_t file = 0, row = 0;
    uint16_t part = 0;
    int32_t tokens = 0, labelled = 0;
    bool media = false;
    int32_t answer = -1;  // of SetAnswers; -1: as the data have it
  };

  // Renders every row once, so that what is wrong with one shows before training starts. Pictures
  // are counted by their headers: one that is damaged behind it is an error of Build.
  // `renderer` outlives this. Errors name file, line and field: as ReadRow and
  // Renderer::Examples, an example longer than max_tokens, a file without rows.
  static Result<std::unique_ptr<DataSet>> Open(std::vector<DataFile> files,
                                               const Renderer& renderer,
                                               const DataOptions& options);

  const std::vector<Entry>& entries() const { return entries_; }
  const std::vector<DataFile>& files() const { return files_; }
  int64_t rows() const;
  int64_t tokens() const;
  int64_t labelled() const;
  int32_t longest() const;
  // "chat.jsonl:12".
  std::string Where(const Entry& entry) const;
  // Equal for equal files in equal order: their lengths and every example's.
  uint64_t Fingerprint() const;

  // Renders and decodes an example. Safe from several threads.
  Result<Example> Build(size_t index) const;

  // From now on the examples are only these, each with the generated answer after its prompt, and
  // that answer labelled; ascending by entry and begin.
  Result<void> SetAnswers(std::vector<GeneratedAnswer> answers);

 private:
  struct Lines {
    MappedFile file;
    std::vector<uint64_t> begin;   // offset of each row
    std::vector<uint32_t> number;  // its line, from 1
    std::string_view Text(size_t row) const;
  };
  DataSet(const Renderer& renderer, DataOptions options);
  Result<void> AddLines(const std::filesystem::path& path);
  Result<std::vector<Example>> Read(uint32_t file, uint32_t row, MediaUse use) const;
  Result<std::vector<Entry>> Measure(uint32_t file, uint32_t row) const;
  Result<void> MeasureAll();
  std::string Where(uint32_t file, uint32_t row) const;
  Result<Example> BuildRead(const Entry& entry) const;
  int32_t Count(const Example& example) const;

  const Renderer& renderer_;
  DataOptions options_;
  std::vector<DataFile> files_;
  std::vector<Lines> lines_;
  std::vector<Entry> entries_, read_;  // read_: the data's own, once answers are set
  std::vector<GeneratedAnswer> answers_;
};

// Indices of examples to train on and to validate with: `fraction` of the rows, chosen by `seed`.
// Examples of one row stay together.
struct Split {
  std::vector<uint32_t> train, validation;
};
Result<Split> SplitByRow(const DataSet& data, double fraction, uint64_t seed);

}  // namespace facet::tune
