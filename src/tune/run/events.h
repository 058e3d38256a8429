// TensorBoard's event files, written by hand: TFRecord frames around a protobuf message of one
// scalar. tensorflow/core/util/event.proto and framework/summary.proto name the fields.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace facet::tune {

// CRC-32C (Castagnoli).
uint32_t Crc32c(std::string_view bytes);

// Length, its masked checksum, the record, its masked checksum.
std::string TfRecord(std::string_view record);

// Serialised Event messages; `seconds` since 1970.
std::string VersionEvent(double seconds);
// A run begins or resumes: TensorBoard hides what older files have from `step` on.
std::string StartEvent(double seconds, int64_t step);
std::string ScalarEvent(double seconds, int64_t step, std::string_view tag, float value);

class EventWriter {
 public:
  // A new file in `folder`, which is made; a run that resumes at `step` adds a file.
  static Result<std::unique_ptr<EventWriter>> Create(const std::filesystem::path& folder,
                                                     int64_t step);
  Result<void> Add(int64_t step, std::string_view tag, double value);
  // What was added is on disk afterwards.
  Result<void> Flush();

 private:
  EventWriter() = default;
  Result<void> Write(std::string_view event);
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace facet::tune
