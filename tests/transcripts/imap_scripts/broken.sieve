require ["imapsieve", "envelope"];
if envelope "from" "carol@example.test" { discard; }
