// Forms that a passkey fills in: data-passkey is "sign-in", "get" or "create".
(() => {
  const keys = window.webauthnJSON
  if (!window.PublicKeyCredential || !keys) return
  async function asked(form) {
    const options = JSON.parse(form.dataset.options || '{}')
    if (form.dataset.passkey === 'get') return keys.get(options.request_options)
    if (form.dataset.passkey === 'create') return keys.create(chosen(form, options))
    const answer = await fetch(form.action, { headers: { Accept: 'application/json' } })
    if (!answer.ok || answer.redirected) throw new Error('no options')
    return keys.get((await answer.json()).request_options)
  }

  // Whether it stands in for the password decides what the device must be able to do.
  function chosen(form, options) {
    const made = structuredClone(options.creation_options)
    const alone = form.elements.passwordless.checked
    Object.assign(made.publicKey.authenticatorSelection, {
      residentKey: alone ? 'required' : 'discouraged',
      requireResidentKey: alone,
      ...(alone ? { userVerification: 'required' } : {}),
    })
    return made
  }

  for (const form of document.querySelectorAll('form[data-passkey]')) {
    form.hidden = false
    const told = form.querySelector('[role=alert]')
    form.addEventListener('submit', async (event) => {
      event.preventDefault()
      told.hidden = true
      try {
        form.elements.credential.value = JSON.stringify(await asked(form))
      } catch (error) {
        told.textContent = error.name === 'InvalidStateError'
          ? 'This device has a passkey of yours already.'
          : 'That didn’t work: the passkey was refused, or it took too long. Try again.'
        told.hidden = false
        return
      }
      form.submit()
    })
  }
  for (const note of document.querySelectorAll('[data-no-passkeys]')) note.hidden = true
})()
