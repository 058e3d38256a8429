// Which files of a repository make up a model.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "hub/hub.h"

namespace facet {

struct HubSelection {
  bool checkpoint = false;  // safetensors with their configuration; otherwise one GGUF
  std::vector<HubFile> files;
  std::set<std::string> weights;                    // those of the files that hold tensors
  std::optional<PathUnder> model, mmproj, drafter;  // of a GGUF
};

// Which files of a repository are wanted.
struct HubQuery {
  std::string_view file;     // a name, or a part of one that only one file has; empty: choose
  std::string_view mmproj;   // likewise; empty: the best one beside the model
  std::string_view drafter;  // likewise
};

// What a GGUF is by its name; the first bytes tell later.
enum class GgufRole { kModel, kProjector, kDrafter };
GgufRole RoleOf(std::string_view file_name);

// Of several files of a role the one to take: for projectors the most exact (BF16, F16, F32, Q8_0),
// for drafters the small and good (Q8_0, Q4_0, BF16, F16). Lower is better.
int Preference(GgufRole role, std::string_view file_name);

// Gives the content of a small file of the repository.
using ReadHubFile = std::function<Result<std::string>(const HubFile&)>;

// The shards of a checkpoint are those that its index names, which `read` is asked for.
//
// Errors: nothing that this program reads; several GGUF files and no name (the error lists them); a
// name that no file or several fit; a split GGUF; only `.litertlm`; an index that is none or names
// a file that is not there; several safetensors and no index.
Result<HubSelection> SelectFiles(const HubListing& listing, const HubQuery& query,
                                 const ReadHubFile& read);

}  // namespace facet
