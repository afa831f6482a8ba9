// Sends one message as the JSON on standard input says, and prints what nodemailer makes of the replies.
const nodemailer = require('/usr/share/nodejs/nodemailer');
const fs = require('fs');

async function main() {
    const wanted = JSON.parse(fs.readFileSync(0, 'utf8'));
    if (wanted.transport.tls && wanted.transport.tls.caFile) {
        wanted.transport.tls.ca = fs.readFileSync(wanted.transport.tls.caFile);
    }
    const transport = nodemailer.createTransport(wanted.transport);
    const told = [];
    for (const message of wanted.messages) {
        try {
            const info = await transport.sendMail(message);
            told.push({accepted: info.accepted, rejected: info.rejected, response: info.response});
        } catch (error) {
            told.push({code: error.code, response: error.response || '', command: error.command});
        }
    }
    transport.close();
    console.log(JSON.stringify(told));
}

main();
