using Apvirt.Ap.Architecture;
using Apvirt.Kernel.Sharing;

namespace Apvirt.Kvm.Interception;

/// <summary>General registers 0 to 2 of an intercepted PQAP, as the guest loaded them (kvm.md §5).</summary>
public struct PqapRegisters
{
    /// <summary>Function code of AQIC.</summary>
    public const int AqicFunction = 3;

    // IR is bit 16 of the register, bit 0 being the leftmost.
    private const ulong InterruptBit = 1UL << 47;

    /// <summary>Function code and APQN.</summary>
    [OwnedBy("It is a value, and belongs to whoever has the request that it is in.")]
    public ulong Gr0 { get; set; }

    /// <summary>Operands; the status word is returned in its lower half.</summary>
    [OwnedBy("It is a value, and belongs to whoever has the request that it is in.")]
    public ulong Gr1 { get; set; }

    /// <summary>Address of the notification-indicator byte.</summary>
    [OwnedBy("It is a value, and belongs to whoever has the request that it is in.")]
    public ulong Gr2 { get; set; }

    /// <summary>Function code.</summary>
    public readonly int Function => (int)(Gr0 >> 24 & 0xff);

    /// <summary>The queue.</summary>
    public readonly Apqn Apqn => new((byte)(Gr0 >> 8), (byte)Gr0);

    /// <summary>Whether AQIC enables.</summary>
    public readonly bool IsEnable => (Gr1 & InterruptBit) != 0;

    /// <summary>Guest interruption subclass.</summary>
    public readonly byte Isc => (byte)(Gr1 & 7);

    /// <summary>The status word returned.</summary>
    public readonly uint Status => (uint)Gr1;

    /// <summary>Response code of the status word returned.</summary>
    public readonly ApResponse Response => (ApResponse)(Gr1 >> 16 & 0xff);

    /// <summary>Registers of an AQIC.</summary>
    /// <param name="apqn">The queue.</param>
    /// <param name="control">Operands.</param>
    public static PqapRegisters ForAqic(Apqn apqn, AqicControl control) => new()
    {
        Gr0 = ((ulong)AqicFunction << 24) | apqn.Number,
        Gr1 = (control.Enable ? InterruptBit : 0) | (control.Isc & 7u),
        Gr2 = control.NotificationByte,
    };

    /// <summary>Puts a status word where the guest looks for it.</summary>
    /// <param name="status">The status.</param>
    public void Return(ApStatus status) => Gr1 = (Gr1 & 0xffffffff00000000) | status.Word;

    /// <summary>Puts a status word into the upper half, as 6.12 does without a hook (F15).</summary>
    /// <param name="status">The status.</param>
    public void ReturnInUpperHalf(ApStatus status) => Gr1 = (Gr1 & 0xffffffff) | ((ulong)status.Word << 32);
}
