#include "cli/commands.h"
#include "runtime/data_folder.h"

int main(int argc, char** argv) {
#ifdef FACET_BUILD_DATA
  facet::AddDataFolder(FACET_BUILD_DATA);
#endif
  return facet::cli::Main(argc, argv);
}
