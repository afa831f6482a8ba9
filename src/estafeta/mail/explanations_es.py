"""What became of mail, in Spanish: for each key the cause in one sentence, and what the sender can do about it."""

from __future__ import annotations

_CHECK = (
    "Compruebe que la dirección esté bien escrita, o pida la correcta a la persona por otro medio, y envíe de nuevo su"
    " mensaje."
)
_LATER = "Envíe de nuevo su mensaje más tarde; si es urgente, póngase en contacto con la persona por otro medio."
_OURS = (
    "Su mensaje no tiene nada de malo. Por favor, reenvíe este aviso a quienes se ocupan de su correo: ellos pueden"
    " arreglarlo. Si es urgente, póngase en contacto con la persona por otro medio."
)
_THEIRS = "Por favor, avise a la persona por otro medio: solo quienes se ocupan del correo de ella pueden arreglarlo."
_WORDING = (
    "Cambie la redacción, quite enlaces y archivos adjuntos y envíe de nuevo su mensaje. Si no basta, avise a la"
    " persona por otro medio de que lo espere, y reenvíe este aviso a quienes se ocupan de su correo."
)
_AFTER_AT = "Compruebe la parte de la dirección que sigue a la @. Si está bien, envíe de nuevo su mensaje más tarde."

TEXTS: dict[str, tuple[str, str]] = {
    # The address.
    "unknown-mailbox": ("No existe ningún buzón con esta dirección.", _CHECK),
    "microsoft-unknown-mailbox": (
        "La organización a la que pertenece esta dirección tiene su correo en Microsoft y no conoce la dirección.",
        _CHECK,
    ),
    "unknown-domain": (
        "La parte de la dirección que sigue a la @ no es el nombre de nada que reciba correo.",
        "Fíjese sobre todo en la parte que sigue a la @: ¿está bien escrita? Después envíe de nuevo su mensaje.",
    ),
    "takes-no-mail": (
        "El dominio de esta dirección (la parte que sigue a la @) ha declarado que no recibe ningún correo.",
        "Pida a la persona una dirección de otro dominio y envíe allí su mensaje.",
    ),
    "bad-address": ("La dirección no está escrita como la quiere el servidor de correo del destinatario.", _CHECK),
    "ambiguous-address": (
        "La dirección puede referirse a varios buzones, y el servidor de correo del destinatario no elige entre ellos.",
        _CHECK,
    ),
    "moved": (
        "La persona tiene ahora otra dirección, y el correo enviado a esta no se le reenvía.",
        "Pida a la persona la dirección nueva y envíe allí su mensaje.",
    ),
    "mailbox-disabled": (
        "El buzón existe, pero está desactivado y no recibe correo.",
        "Póngase en contacto con la persona por otro medio y pídale una dirección que esté en uso.",
    ),
    "mailbox-full": (
        "El buzón de la persona está lleno.",
        "Avísele por otro medio para que haga sitio, o envíe de nuevo su mensaje dentro de unos días.",
    ),
    "mailbox-busy": ("El buzón no se pudo abrir en ese momento.", _LATER),
    "mailbox-flooded": (
        "La persona recibe en estos momentos más correo del que su servidor admite para un solo buzón.",
        _LATER,
    ),
    "list-broken": (
        "La dirección representa a un grupo de personas, y el servidor de correo del destinatario no pudo averiguar a"
        " quiénes.",
        _THEIRS,
    ),
    "restricted-address": (
        "Solo ciertos remitentes pueden escribir a esta dirección, y la suya no está entre ellos.",
        "Pida a la persona, o a quien se ocupe del grupo, que le permita escribir.",
    ),
    # The message.
    "too-large": (
        "El mensaje es más grande de lo que admite el servidor de correo del destinatario.",
        "Envíe de nuevo su mensaje con archivos adjuntos más pequeños o sin ellos; los archivos grandes se pueden"
        " compartir mediante un enlace.",
    ),
    "spam-suspected": ("El servidor de correo del destinatario tomó su mensaje por correo basura.", _WORDING),
    "google-suspected": (
        "Google, donde la persona tiene su correo, tomó su mensaje por correo no solicitado.",
        _WORDING,
    ),
    "bad-link": (
        "Una dirección web de su mensaje está en una lista de las que aparecen a menudo en el correo basura.",
        "Quite el enlace y envíe de nuevo su mensaje.",
    ),
    "dangerous-content": (
        "El servidor de correo del destinatario encontró en su mensaje algo que considera peligroso: un virus, o una"
        " clase de archivo adjunto que no deja pasar.",
        "Haga revisar su ordenador en busca de virus. Después envíe su mensaje sin el archivo adjunto y comparta el"
        " archivo de otra manera.",
    ),
    "bad-format": (
        "Al servidor de correo del destinatario no le gusta cómo está hecho su mensaje; a menudo falta un campo, como"
        " la fecha, o está repetido.",
        "Envíelo de nuevo desde otro programa de correo, o reenvíe este aviso a quienes se ocupan de su correo.",
    ),
    "not-convertible": (
        "Su mensaje tiene una forma que el servidor de correo del destinatario no entiende y que no se pudo cambiar.",
        "Escríbalo de nuevo como texto sencillo y envíe eso.",
    ),
    "needs-utf8": (
        "Su mensaje tiene una dirección o un campo con letras como é o ж, y un servidor de correo del camino todavía no"
        " sabe tratarlas.",
        "Use direcciones con letras sencillas, también la suya, si las hay.",
    ),
    "too-many-recipients": (
        "El mensaje tenía más destinatarios de los que el servidor de correo admite a la vez.",
        "Envíelo de nuevo a menos personas cada vez.",
    ),
    # Who we are.
    "unauthenticated": (
        "El servidor de correo del destinatario no pudo asegurarse de que el mensaje viene de verdad del dominio de"
        " usted (la parte de su dirección que sigue a la @).",
        _OURS,
    ),
    "google-unauthenticated": (
        "Google solo admite correo del que puede asegurarse de quién es, y con su mensaje no pudo: los registros"
        " llamados SPF y DKIM de su dominio faltan o no coinciden.",
        _OURS,
    ),
    "spf": (
        "El dominio de su dirección no nombra a nuestro servidor de correo entre los que pueden enviar su correo"
        " (SPF).",
        _OURS,
    ),
    "dkim": (
        "La firma que demuestra de dónde viene su mensaje (DKIM) falta o no era correcta.",
        _OURS,
    ),
    "dmarc": (
        "No se pudo demostrar que su mensaje viene de su dominio, y el dominio pide a los demás que no admitan ese"
        " correo (DMARC).",
        _OURS,
    ),
    "arc": (
        "Un servidor del camino reenvió su mensaje, y la prueba de dónde venía (ARC) no era correcta.",
        _OURS,
    ),
    "bad-sender": (
        "El servidor de correo del destinatario no admite la dirección de usted como remitente: no encontró su dominio,"
        " o ningún buzón en él.",
        "Mire si su propia dirección está bien escrita en su programa de correo. Si lo está, reenvíe este aviso a"
        " quienes se ocupan de su correo.",
    ),
    "sender-blocked": (
        "El servidor de correo del destinatario no admite correo de su dirección o de su dominio.",
        "Pida a la persona por otro medio que deje pasar su correo.",
    ),
    "sender-takes-no-mail": (
        "El dominio de su propia dirección ha declarado que no recibe correo, y por eso tampoco se admite el que"
        " envía.",
        _OURS,
    ),
    "reverse-dns": (
        "El servidor de correo del destinatario busca el nombre del nuestro en el directorio de direcciones (DNS"
        " inverso), y no lo encontró o encontró otro.",
        _OURS,
    ),
    "bad-greeting": (
        "El servidor de correo del destinatario no admite el nombre con el que lo saluda el nuestro.",
        _OURS,
    ),
    "login-needed": (
        "El servidor de correo del siguiente paso exige que nos identifiquemos, y no lo logramos.",
        _OURS,
    ),
    "relay-denied": (
        "El servidor al que se nos dirigió no se ocupa del correo de esta dirección.",
        "Compruebe la parte de la dirección que sigue a la @. Si está bien, el correo de la persona no está bien"
        " configurado: por favor, avísele por otro medio.",
    ),
    # How our server is seen.
    "listed-server": (
        "El servidor de correo del destinatario no admite correo del nuestro, porque su dirección está en una lista de"
        " aquellas desde las que se ha visto correo basura.",
        _OURS,
    ),
    "spamhaus": (
        "El servidor de correo del destinatario no admite correo del nuestro, porque su dirección está en una lista del"
        " proyecto Spamhaus. (Quienes se ocupan de él pueden ver la causa en https://check.spamhaus.org.)",
        _OURS,
    ),
    "barracuda": (
        "El servidor de correo del destinatario no admite correo del nuestro, porque su dirección tiene mala fama en"
        " Barracuda. (Quienes se ocupan de él pueden preguntar en https://www.barracudacentral.org/lookups.)",
        _OURS,
    ),
    "microsoft-blocked": (
        "Microsoft, donde la persona tiene su correo, no admite por ahora correo de nuestro servidor: su dirección está"
        " en una lista propia de Microsoft. (Quienes se ocupan de él pueden pedir que se quite en"
        " https://sender.office.com.)",
        _OURS,
    ),
    "apple-policy": (
        "Apple, donde la persona tiene su correo, rechazó su mensaje según sus propias reglas, que casi siempre tratan"
        " del correo basura.",
        _WORDING,
    ),
    "yahoo-policy": (
        "Yahoo, donde la persona tiene su correo, rechazó su mensaje según sus reglas para remitentes. (Están en"
        " https://senders.yahooinc.com.)",
        _OURS,
    ),
    "rate-limited": (
        "El servidor de correo del destinatario dejó de admitir correo del nuestro durante un tiempo.",
        _LATER,
    ),
    "google-rate": (
        "Google, donde la persona tiene su correo, vio más correo de nuestro servidor o del dominio de usted del que"
        " admite en un tiempo.",
        _LATER,
    ),
    "microsoft-rate": (
        "Microsoft, donde la persona tiene su correo, admite por ahora poco correo de nuestro servidor, hasta que lo"
        " conozca mejor.",
        _LATER,
    ),
    "yahoo-deferred": (
        "Yahoo, donde la persona tiene su correo, aplazó el correo de nuestro servidor, porque era mucho o porque hubo"
        " quejas de usuarios.",
        _LATER,
    ),
    "greylisted": (
        "El servidor de correo del destinatario hace esperar a los remitentes desconocidos antes de admitir su correo"
        " (listas grises), y no llegó a admitirlo a tiempo.",
        _LATER,
    ),
    "policy": (
        "El servidor de correo del destinatario rechazó su mensaje según sus propias reglas.",
        "Pida a la persona por otro medio que deje pasar su correo, o reenvíe este aviso a quienes se ocupan del correo"
        " de usted.",
    ),
    # The way.
    "no-answer": ("El servidor de correo del destinatario no respondió.", _AFTER_AT),
    "connection-refused": (
        "Donde se debe entregar el correo del destinatario no había ningún servidor de correo en marcha.",
        _AFTER_AT,
    ),
    "connection-broken": ("Se cortó la conexión con el servidor de correo del destinatario.", _LATER),
    "dns-failure": (
        "No se pudo averiguar adónde va el correo de esta dirección: el directorio de su dominio no dio ninguna"
        " respuesta útil.",
        _AFTER_AT,
    ),
    "no-route": (
        "No hay camino hasta el servidor de correo del destinatario: lo que nombra su dominio no se puede alcanzar.",
        "Compruebe la parte de la dirección que sigue a la @. Si está bien, avise a la persona por otro medio.",
    ),
    "congested": ("El servidor de correo del destinatario tenía demasiado trabajo.", _LATER),
    "server-full": ("Al servidor de correo del destinatario no le quedaba espacio.", _LATER),
    "server-closed": ("El servidor de correo del destinatario no admitía correo en ese momento.", _LATER),
    "misconfigured": ("El servidor de correo del destinatario tiene problemas internos.", _THEIRS),
    "loop": (
        "El mensaje daba vueltas en círculo: unos servidores se lo enviaban a otros, y ninguno se quedaba con él.",
        _THEIRS,
    ),
    "expired": (
        "En todo el tiempo en que lo intentamos, ningún servidor admitió el mensaje.",
        _AFTER_AT,
    ),
    "untimed-host": (
        "Usted quería que se entregara en un plazo o nunca, y el servidor de correo del destinatario no puede"
        " prometerlo.",
        "Envíe el mensaje de nuevo sin plazo, si puede llegar más tarde, o diríjase a la persona por otro medio.",
    ),
    "too-late": (
        "En el plazo que usted le dio, ningún servidor aceptó el mensaje.",
        "Envíe el mensaje de nuevo si todavía le sirve a la persona, o diríjase a ella por otro medio.",
    ),
    "tls-demanded": (
        "El servidor de correo del destinatario solo admite correo por conexiones cifradas, y no se logró ninguna.",
        _OURS,
    ),
    "tls-not-offered": (
        "El correo para esta dirección debe ir por una conexión cifrada, y el servidor de correo del destinatario no"
        " ofreció ninguna.",
        _THEIRS,
    ),
    "tls-failed": (
        "No se logró una conexión cifrada con el servidor de correo del destinatario, o el servidor no pudo demostrar"
        " que es el verdadero; por el bien de su mensaje no se lo entregamos.",
        _THEIRS,
    ),
    "tls-required-by-sender": (
        "Usted pidió que su mensaje viajara solo por servidores que lo mantienen cifrado en todo el camino, y hasta"
        " esta dirección no hay un camino así.",
        "Envíe de nuevo su mensaje sin pedirlo, si puede ir así, o compártalo de otra manera.",
    ),
    "our-trouble": (
        "Nuestro propio servidor de correo tuvo problemas y no pudo entregar el mensaje en su sitio.",
        _OURS,
    ),
    "protocol": (
        "Nuestro servidor de correo y el del destinatario no se entendieron.",
        _OURS,
    ),
    # The last resort: the first digit of a reply.
    "refused": (
        "El servidor de correo del destinatario rechazó el mensaje.",
        "Las palabras del servidor, más abajo, quizá digan algo más. Si no le ayudan, póngase en contacto con la"
        " persona por otro medio, o reenvíe este aviso a quienes se ocupan de su correo.",
    ),
    "put-off": (
        "El servidor de correo del destinatario no admitió el mensaje cuando lo intentamos.",
        _LATER,
    ),
}
