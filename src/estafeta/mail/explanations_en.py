"""What became of mail, in English: for each key the cause in one sentence, and what the sender can do about it."""

from __future__ import annotations

_CHECK = (
    "Check the address for a slip of the pen, or ask the person for the right one in another way, and send your"
    " message again."
)
_LATER = "Send your message again later; if it is urgent, reach the person in another way."
_OURS = (
    "There is nothing wrong with your message. Please pass this notice on to the people who look after your mail:"
    " they can put it right. If it is urgent, reach the person in another way."
)
_THEIRS = (
    "Please reach the person in another way and tell them about it: only the people who look after the person's mail"
    " can put it right."
)
_WORDING = (
    "Change the wording, leave out links and attachments, and send your message again. If that does not help, ask the"
    " person in another way to expect it, and pass this notice on to the people who look after your mail."
)

TEXTS: dict[str, tuple[str, str]] = {
    # The address.
    "unknown-mailbox": ("There is no mailbox with this address.", _CHECK),
    "microsoft-unknown-mailbox": (
        "The organization that this address belongs to has its mail at Microsoft, and does not know the address.",
        _CHECK,
    ),
    "unknown-domain": (
        "The part of the address behind the @ is not the name of anything that takes mail.",
        "Look above all at the part behind the @: is it spelled right? Then send your message again.",
    ),
    "takes-no-mail": (
        "The domain of this address (the part behind the @) has declared that it takes no mail at all.",
        "Ask the person for an address of another domain, and send your message there.",
    ),
    "bad-address": ("The address is not written as the recipient's mail server wants it.", _CHECK),
    "ambiguous-address": (
        "The address could mean several mailboxes, and the recipient's mail server does not choose between them.",
        _CHECK,
    ),
    "moved": (
        "The person has moved to another address, and mail is not sent on from this one.",
        "Ask the person for the new address, and send your message there.",
    ),
    "mailbox-disabled": (
        "There is such a mailbox, but it is switched off and takes no mail.",
        "Reach the person in another way, and ask for an address that is in use.",
    ),
    "mailbox-full": (
        "The person's mailbox is full.",
        "Tell the person in another way, so that they can make room, or send your message again in some days.",
    ),
    "mailbox-busy": ("The mailbox could not be opened just then.", _LATER),
    "mailbox-flooded": (
        "The person gets more mail at the moment than their mail server takes for one mailbox.",
        _LATER,
    ),
    "list-broken": (
        "The address stands for a group of people, and the recipient's mail server could not find out whom.",
        _THEIRS,
    ),
    "restricted-address": (
        "Only certain senders may write to this address, and yours is not one of them.",
        "Ask the person, or whoever looks after the group, to let you write to it.",
    ),
    # The message.
    "too-large": (
        "The message is larger than the recipient's mail server takes.",
        "Send your message again with smaller attachments or without them; large files can be shared by a link.",
    ),
    "spam-suspected": ("The recipient's mail server took your message for spam.", _WORDING),
    "google-suspected": ("Google, where the person has their mail, took your message for unsolicited mail.", _WORDING),
    "bad-link": (
        "A web address in your message is on a list of those that are often seen in spam.",
        "Leave the link out, and send your message again.",
    ),
    "dangerous-content": (
        "The recipient's mail server found something in your message that it takes for dangerous: a virus, or a kind"
        " of attachment that it does not let in.",
        "Have your computer checked for viruses. Then send your message without the attachment, and share the file in"
        " another way.",
    ),
    "bad-format": (
        "The recipient's mail server does not like how your message is built; often a field such as the date is"
        " missing or comes twice.",
        "Send it again from another mail program, or pass this notice on to the people who look after your mail.",
    ),
    "not-convertible": (
        "Your message has a form that the recipient's mail server does not understand, and that could not be changed.",
        "Write it again as plain text, and send that.",
    ),
    "needs-utf8": (
        "Your message has an address or a field with letters such as é or ж in it, and a mail server on its way cannot"
        " handle these yet.",
        "Use addresses in plain letters, your own included, if there are such ones.",
    ),
    "too-many-recipients": (
        "The message had more recipients than the recipient's mail server takes at a time.",
        "Send it again to fewer people at a time.",
    ),
    # Who we are.
    "unauthenticated": (
        "The recipient's mail server could not make sure that the message really comes from your domain (the part of"
        " your address behind the @).",
        _OURS,
    ),
    "google-unauthenticated": (
        "Google takes mail only where it can make sure from whom it is, and for your message it could not: the records"
        " named SPF and DKIM of your domain are missing or do not fit.",
        _OURS,
    ),
    "spf": (
        "The domain of your address does not name our mail server among those that may send its mail (SPF).",
        _OURS,
    ),
    "dkim": (
        "The signature that proves where your message comes from (DKIM) is missing or was not right.",
        _OURS,
    ),
    "dmarc": (
        "Your message could not be proven to come from your domain, and the domain asks others not to take such mail"
        " (DMARC).",
        _OURS,
    ),
    "arc": (
        "Your message was sent on by a server on its way, and the proof of where it came from (ARC) was not right.",
        _OURS,
    ),
    "bad-sender": (
        "The recipient's mail server does not accept your own address as the sender: it did not find its domain, or"
        " no mailbox there.",
        "See whether your own address is spelled right in your mail program. If it is, pass this notice on to the"
        " people who look after your mail.",
    ),
    "sender-blocked": (
        "The recipient's mail server does not take mail from your address or your domain.",
        "Ask the person in another way to let your mail in.",
    ),
    "sender-takes-no-mail": (
        "The domain of your own address has declared that it takes no mail, and so its mail is not accepted either.",
        _OURS,
    ),
    "reverse-dns": (
        "The recipient's mail server wants the name of our server in the directory of addresses (reverse DNS), and did"
        " not find it or found another.",
        _OURS,
    ),
    "bad-greeting": ("The recipient's mail server does not accept the name by which our server greets it.", _OURS),
    "login-needed": ("The mail server of the next step wants us to log in, and did not accept our login.", _OURS),
    "relay-denied": (
        "The server that we were sent to does not look after mail for this address.",
        "Check the part of the address behind the @. If it is right, the person's mail is not set up right: please"
        " reach them in another way and tell them about it.",
    ),
    # How our server is seen.
    "listed-server": (
        "The recipient's mail server does not take mail from ours, because its address is on a list of those that spam"
        " was seen from.",
        _OURS,
    ),
    "spamhaus": (
        "The recipient's mail server does not take mail from ours, because its address is on a list of the Spamhaus"
        " project. (Those who look after it can see why at https://check.spamhaus.org.)",
        _OURS,
    ),
    "barracuda": (
        "The recipient's mail server does not take mail from ours, because its address has a bad name at Barracuda."
        " (Those who look after it can ask at https://www.barracudacentral.org/lookups.)",
        _OURS,
    ),
    "microsoft-blocked": (
        "Microsoft, where the person has their mail, does not take mail from our server at the moment: its address is"
        " on Microsoft's own list. (Those who look after it can ask for removal at https://sender.office.com.)",
        _OURS,
    ),
    "apple-policy": (
        "Apple, where the person has their mail, refused your message by rules of its own, which are mostly about"
        " spam.",
        _WORDING,
    ),
    "yahoo-policy": (
        "Yahoo, where the person has their mail, refused your message by its rules for senders. (They are at"
        " https://senders.yahooinc.com.)",
        _OURS,
    ),
    "rate-limited": ("The recipient's mail server took no more mail from ours for a while.", _LATER),
    "google-rate": (
        "Google, where the person has their mail, saw more mail from our server or your domain than it takes in a"
        " while.",
        _LATER,
    ),
    "microsoft-rate": (
        "Microsoft, where the person has their mail, takes little mail from our server for now, until it knows it"
        " better.",
        _LATER,
    ),
    "yahoo-deferred": (
        "Yahoo, where the person has their mail, put mail from our server off, because there was much of it or users"
        " had complained.",
        _LATER,
    ),
    "greylisted": (
        "The recipient's mail server makes unknown senders wait before it takes their mail (greylisting), and it did"
        " not become ready in time.",
        _LATER,
    ),
    "policy": (
        "The recipient's mail server refused your message by rules of its own.",
        "Ask the person in another way to let your mail in, or pass this notice on to the people who look after your"
        " mail.",
    ),
    # The way.
    "no-answer": (
        "The recipient's mail server did not answer.",
        "Check the part of the address behind the @. If it is right, send your message again later.",
    ),
    "connection-refused": (
        "No mail server was running where the recipient's mail is to be delivered.",
        "Check the part of the address behind the @. If it is right, send your message again later.",
    ),
    "connection-broken": ("The connection to the recipient's mail server broke.", _LATER),
    "dns-failure": (
        "It could not be found out where mail for this address goes: the directory of its domain gave no usable"
        " answer.",
        "Check the part of the address behind the @. If it is right, send your message again later.",
    ),
    "no-route": (
        "There is no way to the recipient's mail server: what its domain names cannot be reached.",
        "Check the part of the address behind the @. If it is right, reach the person in another way and tell them"
        " about it.",
    ),
    "congested": ("The recipient's mail server had too much to do.", _LATER),
    "server-full": ("The recipient's mail server had no room left.", _LATER),
    "server-closed": ("The recipient's mail server took no mail at the time.", _LATER),
    "misconfigured": ("The recipient's mail server has trouble within itself.", _THEIRS),
    "loop": (
        "The message went in a circle: servers kept sending it to one another, and none of them kept it.",
        _THEIRS,
    ),
    "expired": (
        "In all the time that we tried, no server took the message.",
        "Check the part of the address behind the @. If it is right, send your message again later.",
    ),
    "untimed-host": (
        "You wanted it delivered within a time or not at all, and the recipient's mail server cannot promise that.",
        "Send your message again without such a time, if it may come later, or reach the person in another way.",
    ),
    "too-late": (
        "In the time that you gave it, no server took the message.",
        "Send your message again if it is still of use to the person, or reach them in another way.",
    ),
    "tls-demanded": (
        "The recipient's mail server takes mail over encrypted connections only, and none came about.",
        _OURS,
    ),
    "tls-not-offered": (
        "Mail for this address must go over an encrypted connection, and the recipient's mail server offered none.",
        _THEIRS,
    ),
    "tls-failed": (
        "An encrypted connection to the recipient's mail server did not come about, or the server could not prove that"
        " it is the right one; for your message's sake we did not hand it over.",
        _THEIRS,
    ),
    "tls-required-by-sender": (
        "You asked that your message travel only by servers that keep it encrypted all the way, and there is no such"
        " way to this address.",
        "Send your message again without asking for that, if it may go so, or share it in another way.",
    ),
    "our-trouble": ("Our own mail server had trouble, and could not deliver the message where it should go.", _OURS),
    "protocol": (
        "Our mail server and the recipient's did not understand each other.",
        _OURS,
    ),
    # The last resort: the first digit of a reply.
    "refused": (
        "The recipient's mail server refused the message.",
        "The words of the server below may say more. If they do not help you, reach the person in another way, or pass"
        " this notice on to the people who look after your mail.",
    ),
    "put-off": (
        "The recipient's mail server did not take the message when we tried.",
        _LATER,
    ),
}
