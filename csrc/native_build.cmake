# Writes the unit that says what the extension is made of; run by the build whenever one of its sources has changed.
#
# The digest is of what `sha256sum` prints for CMakeLists.txt and csrc/, by paths from the root: moved, renamed
# and edited files show in it, the machine and its folders do not.
file(GLOB_RECURSE sources RELATIVE ${ROOT} ${ROOT}/csrc/*)
list(APPEND sources CMakeLists.txt)
list(SORT sources)
set(listing "")
foreach(source IN LISTS sources)
  file(SHA256 ${ROOT}/${source} digest)
  string(APPEND listing "${digest}  ${source}\n")
endforeach()
string(SHA256 digest "${listing}")

file(WRITE ${OUTPUT} "#include \"base/native_build.h\"

namespace engine {

const NativeBuild kNativeBuild{\"${digest}\", R\"(${COMPILER})\", R\"(${FLAGS})\"};

}  // namespace engine
")
