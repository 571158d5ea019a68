# Made by contrib/release from the sums of the release. Not tested: neither Homebrew nor its linters ran on it.
class SsmProxy < Formula
  desc "OpenSSH ProxyCommand that reaches machines through AWS Session Manager"
  homepage "@REPOSITORY@"
  version "@VERSION@"
  license any_of: ["MIT", "Apache-2.0"]

  on_macos do
    on_arm do
      url "@URL@/ssm-proxy-@VERSION@-aarch64-apple-darwin.tar.gz"
      sha256 "@aarch64-apple-darwin@"
    end
    on_intel do
      url "@URL@/ssm-proxy-@VERSION@-x86_64-apple-darwin.tar.gz"
      sha256 "@x86_64-apple-darwin@"
    end
  end

  on_linux do
    on_arm do
      url "@URL@/ssm-proxy-@VERSION@-aarch64-unknown-linux-musl.tar.gz"
      sha256 "@aarch64-unknown-linux-musl@"
    end
    on_intel do
      url "@URL@/ssm-proxy-@VERSION@-x86_64-unknown-linux-musl.tar.gz"
      sha256 "@x86_64-unknown-linux-musl@"
    end
  end

  def install
    bin.install "ssm-proxy"
    man1.install "ssm-proxy.1"
    bash_completion.install "completions/ssm-proxy.bash" => "ssm-proxy"
    zsh_completion.install "completions/_ssm-proxy"
    fish_completion.install "completions/ssm-proxy.fish"
    # Programs for nodes: Linux, whatever this machine is.
    (lib/"ssm-proxy").install Dir["lib/ssm-proxy/*"]
    doc.install "README.md", "SECURITY.md", "THIRD-PARTY", "docs", "contrib"
  end

  test do
    assert_equal "ssm-proxy #{version}\n", shell_output("#{bin}/ssm-proxy --version")
  end
end
