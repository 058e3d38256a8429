// Brings a model under a name: from a hub, a folder or a file.
#pragma once

#include <string>

#include "hub/hub.h"
#include "hub/short_names.h"
#include "hub/store.h"

namespace facet {

struct ImportRequest {
  std::string name;                           // empty: from the repository, the file or the folder
  std::string repo, revision = "main", file;  // file: in the repository, or without one a path
  std::string mmproj, drafter;  // a file of the repository or a path; empty: what lies beside
  std::string drafter_repo;     // where the drafter has a repository of its own
  std::string token;            // empty: from the environment
  std::string quantize;         // q8_0, q4_0, q4_k; empty: as it is
  bool force = false;           // although it does not fit into memory
  bool replace = false;         // a model of that name from elsewhere
  // Told of downloads and conversions alike; how they are cancelled.
  HubMonitor monitor = {};
};

ImportRequest RequestFor(const ShortName& known);

// Nothing is named before everything is there and verified; an interrupted import goes on where it
// was. Errors: as Hub, SelectFiles and ConvertToGguf; a name that is taken; no room on the disk or
// in memory.
Result<StoredModel> ImportModel(const Store& store, const ImportRequest& request);

}  // namespace facet
