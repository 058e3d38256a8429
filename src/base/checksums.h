// SHA256SUMS: digests of files beside it, as sha256sum writes and checks them. Files that a program
// wrote for itself to read again are held to it; a folder without one, or a file that it does not
// name, was written by somebody else and is taken.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace facet {

constexpr const char* kChecksumFile = "SHA256SUMS";

// Notes the digests of these files of the folder; what it says of others stays.
Result<void> WriteChecksums(const std::filesystem::path& folder,
                            const std::vector<std::string>& names);

// To be called before these files are written again: else the end of the program meanwhile would
// leave digests of what is no longer there.
Result<void> RemoveChecksums(const std::filesystem::path& folder,
                             const std::vector<std::string>& names);

// Errors: the file is not what it was when its digest was noted, or SHA256SUMS is damaged.
Result<void> VerifyChecksum(const std::filesystem::path& folder, const std::string& name);

}  // namespace facet
