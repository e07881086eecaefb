require ["imapsieve", "environment", "imap4flags", "fileinto", "mailbox", "copy", "variables", "enotify"];
if environment "imap.cause" "FLAG" {
    if allof (hasflag "\\Flagged", environment :contains "imap.changedflags" "\\Flagged") {
        addflag "$Important";
        fileinto :copy :create "Important";
    } elsif environment "imap.changedflags" "$Later" {
        discard;
    } elsif environment :matches "imap.changedflags" "*" {
        set "what" "${1}";
        if environment "imap.user" "bob@example.test" { addflag "$ByBob"; }
        if string "${what}" "\\Seen" { addflag "$Read"; } else { addflag "$Told"; }
    }
} elsif environment "imap.cause" "COPY" {
    addflag "$Copied";
    keep;
} elsif header "subject" "secret" {
    fileinto :create "Vault";
} elsif environment :is "imap.mailbox" "INBOX" {
    removeflag "\\Draft";
    addflag "$Appended";
}
