# Shortens the compiling of the speech engine's C++ libraries (docs/adr/0004-engine-build.md).
#
# Not a cross-compiling toolchain: it is the one place where the `cmake` crate lets us reach the builds inside the
# `onednn-src` and `ct2rs` crates, which pass no options through (.cargo/config.toml names this file).
# CTranslate2 calls oneDNN for matrix products (always built), one convolution, and the reorders around it.
if(CMAKE_SOURCE_DIR MATCHES "oneDNN$")
  set(ONEDNN_ENABLE_PRIMITIVE "CONVOLUTION;REORDER;MATMUL" CACHE STRING "" FORCE)
  # oneDNN writes its kernels as machine code at run time: optimising the writer gains nothing.
  set(CMAKE_CXX_FLAGS_RELEASE "-O1 -DNDEBUG" CACHE STRING "" FORCE)

  # ENABLE_PRIMITIVE only empties the tables of implementations; the files would still be compiled. Leave them out.
  # A file that is needed after all shows as an undefined symbol when the program is linked, never at run time.
  if(NOT COMMAND _add_library)
    function(add_library)
      set(arguments ${ARGV})
      list(FILTER arguments EXCLUDE REGEX
        "/(lrn|prelu|shuffle|ukernel)/[^/]*\\.cpp$")
      list(FILTER arguments EXCLUDE REGEX
        "/rnn/(brgemm_cell|cell_|jit_|ref_)[^/]*\\.cpp$")
      list(FILTER arguments EXCLUDE REGEX
        "/(jit|ref|gemm|simple|nchw|nhwc|ncsp|nspc|matmul)_[^/]*(normalization|normalization_s8|pooling|pool_kernel|resampling|resampling_kernel|softmax|deconv[^/]*|inner_product|conv_bwd[^/]*|ref_lrn|ref_prelu|ref_shuffle)\\.cpp$")
      _add_library(${arguments})
    endfunction()
  endif()
endif()
