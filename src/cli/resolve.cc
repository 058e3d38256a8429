#include "cli/resolve.h"

namespace facet::cli {

Result<ModelFiles> ResolveModel(const std::string& model) {
  std::error_code code;
  if (!std::filesystem::exists(model, code)) {
    return Error{Cat(model, ": no such file or folder"), ErrorKind::kNotFound};
  }
  const std::filesystem::path path(model);
  return ModelFiles{path.has_filename() ? path.stem().string() : path.parent_path().filename().string(), path, {}, {}};
}

}  // namespace facet::cli
