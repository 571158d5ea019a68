//! The parts of `--help` that are not about one option.

/// The forms of the command line.
pub(super) const USAGE: &str = "\
ssm-proxy [OPTIONS] [--shell] <HOST>
       ssm-proxy [OPTIONS] --exec [-t] <HOST> -- COMMAND [ARG]...
       ssm-proxy [OPTIONS] -L PORT:DEST:DESTPORT <HOST> [-- COMMAND [ARG]...]
       ssm-proxy [OPTIONS] [--check] [--] <HOST> [PORT]   (PORT: for ssh)
       ssm-proxy --list [FILTER] | --print-ssh-config [HOST]...";

/// Above the options of `--help`.
pub(super) const LONG_ABOUT: &str = "\
Reaches a node through AWS Session Manager: no open port, no bastion, no AWS CLI, no session-manager-plugin. On a terminal \
it is a shell; with --exec it runs a command; and OpenSSH starts it as its ProxyCommand and speaks SSH through its stdin and \
stdout.";

/// Below the options of `--help`.
pub(super) const AFTER_LONG_HELP: &str = "\
WITHOUT SSH:
  ssm-proxy web-1                           a shell; needs no sshd and no key on the node
  echo 'uname -a' | ssm-proxy --shell web-1
  ssm-proxy --exec web-1 -- df -h /         its output and its exit status
  ssm-proxy --exec web-1 -- sh -c 'ls /var/log/*.log | wc -l'
  ssm-proxy --exec -t web-1 -- top          on a terminal of the node
  ssm-proxy -L 5432:db.internal:5432 web-1  a database behind a node, at localhost:5432
  ssm-proxy -L 5432:db.internal:5432 web-1 -- psql -h localhost
  ssm-proxy --document-name My-Document --parameters name=value web-1

WITH THE AWS CLI:
  ssm-proxy --install-plugin                aws ssm start-session and aws ecs execute-command use it
                                            from then on, in place of session-manager-plugin

WITH SSH:
  In ~/.ssh/config:

      Host i-* mi-*
          ProxyCommand ssm-proxy -- \"%h\" %p
          ServerAliveInterval 30
          ServerAliveCountMax 20

  Then: ssh ec2-user@i-0123456789abcdef0

  For names in place of ids, list them there and write %n, which keeps their case:

      Host web-* build
          ProxyCommand ssm-proxy -- \"%n\" %p

  Options go before the '--'. It and the quotes are needed: without them the names of files in
  the current folder can become options. A ProxyCommand that has 'aws ssm start-session' works
  with 'ssm-proxy' in place of these words; put quotes around its %h, too:

          ProxyCommand ssm-proxy --target \"%h\" --parameters portNumber=%p

WHEN IT DOES NOT WORK:
  ssm-proxy --check i-0123456789abcdef0   says what fails, and its cure
  ssm-proxy --list                        shows the nodes
  aws sts get-caller-identity             shows who you are to AWS
  To see each step: ssh -o ProxyCommand='ssm-proxy -vv -- \"%h\" %p' ec2-user@i-0123456789abcdef0
  An error comes in two lines: what failed, and what to do next. Where ssh has ControlPersist,
  which hides them, they are in a file that --check names.

  The target needs an SSM Agent that is running and can reach Session Manager, and for ssh sshd.
  You need, in IAM: ssm:StartSession on the instance and on the document;
  ssm:ResumeSession, ssm:TerminateSession and ssmmessages:OpenDataChannel on the session.
  For names and --list: ssm:DescribeInstanceInformation.
  For --push-key: ec2-instance-connect:SendSSHPublicKey on the instance.

EXIT STATUS:
   0  the session ended normally
   1  the session broke, not all is known to have arrived, or stdout cannot be written to
   2  the command line is wrong
  68  no such target, or several
  69  the target is not connected to Session Manager, or its port refuses connections
  75  network failure or throttling: trying again may help
  77  credentials are missing, expired or not permitted to do this
  78  configuration: no region, no such profile, an unreadable CA file

  With --exec it is the command's own, which may be any of these, too: then stderr has no
  message of ssm-proxy. A command that a signal has ended has 255; after Ctrl-C it is 130.";
